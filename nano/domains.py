"""Domains of things and the fields that their records have, with the sentences that state them. Knows no JSON.

A domain is text: its first line the field that opens every description, then a line a field,

    keys = kind : sentences

`keys` are the names that the field may carry in a record (one is drawn), `kind` how its value is drawn (see `fields`),
sentences stand between ` / ` and hold the value as {v}. Sentences of a truth value: those of true ` // ` those of false.
An enumeration gives `value => sentences` between ` | `. Choices and slots are those of `wording`.
"""

from __future__ import annotations

from nano.wording import words

POOLS = {
    "dish": words("""[tomato|pumpkin|onion|lentil|carrot|leek] soup; [apple|plum|cherry|walnut] cake; [mushroom|pea|saffron] risotto; potato salad;
        [chicken|fish|chickpea] curry; [spinach|cheese|leek] pie; stuffed [peppers|cabbage|tomatoes]; [banana|rye|corn] bread; [beef|bean|lamb] stew;
        lemon [tart|biscuits]; rice pudding; baked [trout|pumpkin]; vegetable lasagne; noodle soup; [herb|cheese] omelette; ginger biscuits"""),
    "food": words("""butter; milk; eggs; flour; sugar; onions; garlic; potatoes; carrots; tomatoes; rice; cheese; cream; salt; pepper; olive oil;
        lemons; apples; honey; parsley; yeast; chickpeas; lentils; beans; cinnamon; nuts; spinach; leeks; mushrooms; yoghurt; ginger; vanilla"""),
    "genre": words("crime novel; love story; biography; travel book; history of ideas; science fiction novel; collection of poems; cookbook; children's book; comedy"),
    "animal": words("""horse; goat; donkey; cow; sheep; pig; goose; hen; rabbit; llama; pony; turkey; alpaca; mule; ox; duck; fox; owl; hedgehog; beaver"""),
    "zoo": words("""lion; elephant; giraffe; penguin; zebra; otter; gorilla; flamingo; bear; wolf; camel; crocodile; tiger; seal; rhino; ostrich; python"""),
    "plant": words("""rose; oak; lavender; maple; tulip; fern; sunflower; birch; basil; ivy; lily; cactus; apple tree; rhubarb; orchid; peony; mint; willow"""),
    "weather": words("sunny; cloudy; rainy; windy; foggy; stormy; snowy; clear; humid"),
    "job": words("""baker; nurse; gardener; accountant; bus driver; teacher; cook; librarian; carpenter; programmer; electrician; painter; vet; lawyer;
        waiter; engineer; tailor; pilot; dentist; plumber; journalist; architect; pharmacist; florist"""),
    "department": words("sales; accounts; research; marketing; the warehouse; legal; personnel; planning; quality control; the workshop"),
    "sport": words("football; handball; volleyball; basketball; rugby; ice hockey; water polo; cricket"),
    "colour": words("red; blue; green; black; white; grey; yellow; brown; silver; orange; purple; beige"),
    "material": words("wood; steel; glass; leather; cotton; clay; bronze; stone; paper; silk; copper; ivory; marble; wool; tin; bone"),
    "instrument": words("violin; flute; drums; cello; trumpet; piano; harp; clarinet; guitar; organ; saxophone; accordion"),
    "language": words("English; French; Spanish; German; Arabic; Hindi; Polish; Swahili; Turkish; Italian; Japanese; Dutch; Greek; Portuguese"),
    "hobby": words("chess; sailing; knitting; photography; hiking; cooking; gardening; painting; cycling; singing; fishing; dancing; reading; pottery"),
    "subject": words("biology; history; mathematics; law; physics; medicine; economics; music; philosophy; geography; chemistry; literature"),
    "room": words("bathroom; kitchen; cellar; attic; garage; hall; bedroom; study; laundry room"),
    "vehicle": words("car; van; bicycle; motorcycle; lorry; tractor; boat; scooter; bus; caravan; moped; canoe"),
    "course": words("""pottery; first aid; yoga; Spanish for beginners; oil painting; sailing; guitar; bookkeeping; photography; swimming; cooking; creative writing;
        chess; dancing; sewing; Italian conversation; drumming; woodwork"""),
    "weekday": words("Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; Sunday"),
    "event": words("book fair; jazz concert; flea market; charity run; poetry reading; open day; chess tournament; garden show; film night; harvest festival; science fair"),
    "fruit": words("apples; pears; plums; cherries; grapes; oranges; strawberries; peaches; figs; lemons; apricots"),
    "mineral": words("quartz; granite; slate; amber; jade; marble; flint; topaz; basalt; opal; garnet; pyrite"),
    "object": words("vase; coin; sword; mask; clock; statue; map; ring; lamp; chair; manuscript; carpet; helmet; bowl; mirror; painting; globe; drum; cup"),
    "part": words("bolt; valve; gear; spring; filter; hinge; pump; belt; bearing; fuse; nozzle; gasket; bracket; rotor; cable; lever; screw; piston"),
    "goods": words("cement; coffee; timber; steel pipes; salt; wheat; machine parts; tiles; wool; glass; sugar; cocoa; paper; rubber; olive oil"),
    "illness": words("a cold; the flu; a stomach bug; a sore throat; a broken arm; a fever; an ear infection; chickenpox; a sprained ankle; a toothache"),
    "thing": words("umbrella; wallet; scarf; rucksack; key ring; camera; glove; hat; notebook; bracelet; lunch box; jacket; violin; cap; purse; football"),
    "street": words("""Mill Lane; Station Road; Church Street; Park Avenue; High Street; Garden Street; Bridge Road; King Street; Green Lane; Harbour Street;
        Oak Avenue; Market Street; Orchard Road; School Lane; Castle Street; River Road; Hill Street; Chapel Lane; Elm Grove; Linden Street"""),
    "disease": words("measles; asthma; malaria; mumps; gout; anaemia; eczema; migraine; scurvy; tetanus; rabies; cholera"),
}  # fmt: skip

DOMAINS = {
    "recipe": """name, dish, title = pool dish : This is a recipe for {v}. / Today we are making {v}. / {v.Cap} is quick to make. / My favourite dish is {v}.
        serves, portions, servings = int 2 10 : It serves {v}. / This is enough for {v} people. / It makes {v} portions.
        minutes, cooking_minutes, time_minutes = int 10 95 5 : It takes {v} minutes. / You need {v} minutes for it. / After {v} minutes it is ready.
        ingredients = list food 2 5 : You need {v}. / The ingredients are {v}. / Buy {v}.
        vegetarian, meat_free = bool : It contains no meat. / It is suitable for vegetarians. // It is not for vegetarians. / There is meat in it.
        difficulty, level = enum : easy => Anybody can make it. / It is very easy. | medium => It takes a little practice. | hard => Only try this if you have cooked for years. / It is hard to get right.
        author, cook = person : The recipe is from {v}. / {v} wrote it down.""",
    "book": """title, name = title : "{v}" is a {genre}. / On my table lies "{v}". / The library has bought "{v}".
        author, written_by = person : It was written by {v}. / The author is {v}. / {v} wrote it.
        year, published = year 1850 2024 : It came out in {v}. / It was published in {v}. / The first edition is from {v}.
        pages, page_count = int 80 900 : It has {v} pages. / It is {v} pages long.
        language = pool language : It is written in {v}. / The original language is {v}.
        available, in_stock = bool : You can borrow it today. / It is on the shelf. // Somebody has borrowed it. / It is out at the moment.
        shelf, location, code = code : You find it on shelf {v}. / It stands under {v}.""",
    "weather": """place, town, city = town : Here is the forecast for {v}. / The weather in {v}: / {v} can expect a change.
        high, max_temperature, high_celsius = int 12 36 : The highest temperature is {v} degrees. / It will be up to {v} degrees.
        low, min_temperature, low_celsius = int -12 11 : At night it falls to {v} degrees. / The lowest temperature is {v} degrees.
        sky, conditions, weather = pool weather : It will be {v}. / All day it stays {v}.
        wind_kmh, wind, wind_speed = int 5 90 5 : The wind blows at {v} kilometres an hour. / Wind: {v} km/h.
        rain_chance, rain_percent, chance_of_rain = int 0 100 10 : The chance of rain is {v} percent. / Rain: {v}%.
        date, day = date : The forecast is for {v}. / Valid for {v}.
        warning, storm_warning = bool : A storm warning has been given. / There is a storm warning. // No warnings have been given.""",
    "flight": """number, flight, flight_number = flight : Flight {v} is on the board. / This is about flight {v}. / Passengers of flight {v}, please listen.
        from, origin, departure_city = town : It starts in {v}. / It comes from {v}. / It leaves from {v}.
        to, destination, arrival_city = town : It goes to {v}. / It lands in {v}. / The destination is {v}.
        departure, departs_at, departure_time = clock : Departure is at {v}. / It takes off at {v}.
        gate = gate : The gate is {v}. / Boarding is at gate {v}. / Please go to gate {v}.
        delayed, late = bool : It is late today. / It has been delayed. // It is on time. / There is no delay.
        passengers, seats_taken = int 40 320 : {v} passengers are on board. / {v} seats are taken.
        captain, pilot = person : The captain is {v}. / {v} is flying.""",
    "animal": """name, animal_name = coined : {v} is a {animal}. / Let me tell you about {v}. / Our oldest animal is {v}.
        kind, species, animal = pool animal : {v.Cap} is what it is called in the books: a {v}. / {name} is a {v}. / The vet wrote down: {v}.
        age, age_years = int 1 25 : {name} is {v} years old. / The age is {v}.
        weight_kg, weight = float 2 480 1 : It weighs {v} kilograms. / The scales say {v} kg.
        colour, color, coat = pool colour : The coat is {v}. / The colour is {v}.
        vaccinated = bool : It has had all its vaccinations. / It is vaccinated. // It still has to be vaccinated. / It has not been vaccinated.
        owner, keeper = person : It belongs to {v}. / The owner is {v}. / {v} looks after it.
        farm, lives_in, place = town : It lives near {v}. / It is kept in {v}.""",
    "house": """street, address, road = address : The house stands at {v}. / For sale: {v}. / We looked at {v}.
        town, city = town : It is in {v}. / The town is {v}.
        rooms, number_of_rooms = int 2 9 : It has {v} rooms. / There are {v} rooms.
        area_m2, square_metres, size = int 45 260 : It has {v} square metres. / The living space is {v} m2.
        built, year_built = year 1880 2022 : It was built in {v}. / It dates from {v}.
        garden, has_garden = bool : There is a garden. / It has a garden at the back. // There is no garden. / It has no garden.
        price, asking_price = int 90000 780000 5000 : The price is {v}. / They are asking for {v}.
        heating = enum : gas => It is heated with gas. | oil => There is an oil tank in the cellar. | wood => A wood stove keeps it warm. | electric => The heating is electric.""",
    "match": """home, home_team, home_side = team : {v} played at home. / {v} were the hosts. / At home this time: {v}.
        away, away_team, guests = team : The guests were {v}. / They met {v}. / {v} had travelled a long way.
        home_goals, home_score = int 0 6 : The hosts scored {v}. / The home side got {v}.
        away_goals, away_score = int 0 6 : The guests scored {v}. / The visitors got {v}.
        sport = pool sport : It was a game of {v}. / The sport was {v}.
        spectators, attendance = int 120 48000 : {v} people watched. / There were {v} spectators.
        date, played_on = date : The game took place on {v}. / It was played on {v}.
        referee = person : The referee was {v}. / {v} had the whistle.
        best_player, man_of_the_match = person : The best player was {v}. / Nobody was better than {v}.""",
    "plant": """name, plant = pool plant : The {v} is doing well. / A {v} needs care. / I have planted a {v}.
        latin_name, scientific_name = latin : In Latin it is {v}. / Botanists call it {v}.
        height_cm, height = int 10 400 5 : It is {v} cm tall. / It grows to {v} centimetres.
        light, place = enum : sun => It wants full sun. / Give it as much sun as you can. | shade => It likes the shade. | half shade => Half shade is best.
        water_per_week, waterings = int 1 7 : Water it {v} times a week.
        flower_colour, blossom = pool colour : Its flowers are {v}. / It flowers in {v}.
        poisonous, toxic = bool : It is poisonous. / Keep it away from children. // It is harmless. / It is not poisonous.
        planted, planted_on = date : It was planted on {v}. / It went into the ground on {v}.""",
    "employee": """name, employee, full_name = person : {v} works for us. / This is about {v}. / Our new colleague is {v}.
        job, position, role = pool job : The position is {v}. / {name} is a {v}.
        department, team, unit = pool department : The department is {v}. / {name} belongs to {v}.
        salary, monthly_salary, pay = int 1800 6900 50 : The monthly salary is {v}. / {name} earns {v} a month.
        start, since, start_date = date : {name} started on {v}. / The first day was {v}.
        full_time = bool : It is a full-time job. / {name} works full time. // It is a part-time job. / {name} works part time.
        manager, boss, reports_to = person : The boss is {v}. / {name} reports to {v}.
        languages = list language 1 3 : {name} speaks {v}. / Languages: {v}.
        contact.email, email = email : The address is {v}. / Write to {v}.
        contact.room, office, room = code : The office is {v}. / You find {name} in room {v}.""",
    "parcel": """tracking, parcel_number, label = code : Parcel {v} has been weighed. / The label says {v}. / A parcel with the number {v} is here.
        weight_kg, weight = float 0.2 30 1 : It weighs {v} kg. / Weight: {v} kilograms.
        sender.name, sender, from = person : It comes from {v}. / The sender is {v}.
        sender.town, sent_from = town : It was sent from {v}.
        receiver.name, receiver, to = person : It is for {v}. / It goes to {v}.
        receiver.street, street = address : It must be taken to {v}. / The address is {v}.
        fragile = bool : Handle it with care, there is glass inside. / It is fragile. // Nothing in it can break. / It is not fragile.
        contents = pool object : There is a {v} inside. / Inside is a {v}.
        posted, sent_on = date : It was posted on {v}. / The postmark is from {v}.""",
    "exhibit": """object, item, name = pool object : The museum shows a {v}. / In this case you see a {v}. / Here is a {v}.
        material, made_of = pool material : It is made of {v}. / The material is {v}.
        year, made_in, date_made = year 1200 1930 : It was made in {v}. / It dates from {v}.
        origin, country = country : It comes from {v}. / It was found in {v}.
        inventory_number, inventory, number = code : Its number in the inventory is {v}. / Inventory {v}.
        height_cm, height = float 2 220 1 : It is {v} cm high. / Height: {v} cm.
        donor, given_by = person : It was given by {v}. / {v} left it to the museum.
        on_display, shown = bool : Visitors can see it now. / It is on display. // It is in storage. / It is not on display.""",
    "part": """part, name, component = pool part : We have a new {v} in the catalogue. / The {v} is in stock. / This {v} fits most machines.
        number, part_number, article = code : The part number is {v}. / It is listed as {v}.
        maker, manufacturer, brand = brand : {v} makes it. / The maker is {v}.
        length_mm, length = float 2 300 1 : It is {v} mm long. / Length: {v} mm.
        material = pool material : It is made of {v}.
        price, unit_price = money : It costs {v}. / The price is {v}.
        stock, quantity, in_stock = int 0 900 : There are {v} in stock. / We have {v} of them.
        tested, approved = bool : It has been tested. / It has passed the test. // It has not been tested.""",
    "ship": """name, ship, vessel = coined : The {v} is in the harbour. / This morning the {v} came in. / Everybody is looking at the {v}.
        built, year_built = year 1920 2023 : She was built in {v}. / She has been sailing since {v}.
        length_m, length = int 12 320 : She is {v} metres long. / Length: {v} m.
        cargo, goods, load = pool goods : She carries {v}. / The cargo is {v}.
        from, home_port = town : She comes from {v}. / The home port is {v}.
        to, next_port, destination = town : The next port is {v}. / She sails on to {v}.
        crew, crew_size = int 3 60 : There are {v} people on board. / The crew has {v} members.
        captain, master = person : The captain is {v}. / {v} commands her.
        sails_on, departure = date : She leaves on {v}. / The departure is on {v}.""",
    "film": """title, film = title : Tonight we show "{v}". / Have you seen "{v}"? / "{v}" is a film worth watching.
        director, directed_by = person : The director is {v}. / {v} made it.
        year, released = year 1935 2024 : It is from {v}. / It was released in {v}.
        minutes, length_minutes, runtime = int 70 190 : It lasts {v} minutes. / It is {v} minutes long.
        country, made_in = country : It was made in {v}. / The country is {v}.
        stars, rating = float 1 5 1 : Our readers give it {v} stars. / Rating: {v} out of 5.
        cast, actors = people 2 3 : The actors are {v}. / With {v}.
        for_children, family_film = bool : Children may watch it. / It is fine for children. // It is not for children. / Leave the children at home.""",
    "city": """city, name, town = coined : {v} is a city. / Many people visit {v}. / My home town is {v}.
        country = country : It is in {v}. / The country is {v}.
        population, inhabitants = int 4000 3000000 1000 : {v} people live there. / The population is {v}.
        founded, year_founded = year 1100 1900 : It was founded in {v}. / The first stone was laid in {v}.
        river = coined : It lies on the river {v}. / The river is called {v}.
        mayor = person : The mayor is {v}. / At the moment {v} is mayor.
        airport, has_airport = bool : There is an airport. / You can fly there. // There is no airport. / You cannot fly there.
        sights, attractions = titles 1 3 : Visitors go to {v}. / Do not miss {v}.""",
    "planet": """name, planet = coined : The planet {v} was discovered by chance. / {v} is a planet in a story. / Far away circles {v}.
        moons, number_of_moons = int 0 14 : It has {v} moons. / {v} moons circle it.
        day_hours, hours_per_day = int 6 90 : A day there lasts {v} hours. / It turns once in {v} hours.
        temperature, mean_temperature = int -180 240 : The mean temperature is {v} degrees. / On the ground it is {v} degrees.
        rings, has_rings = bool : It has rings. / Rings surround it. // It has no rings.
        discovered_by, discoverer = person : {v} saw it first. / It was discovered by {v}.
        discovered, year = year 1650 2020 : The discovery was made in {v}.""",
}  # fmt: skip
