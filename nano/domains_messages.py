"""Domains of messages that people write to an office, in the form of `domains`. Knows no JSON."""

DOMAINS = {
    "table booking": """name, guest, booked_by = person : Good evening, my name is {v}. / Hello, this is {v}. / {v} here, hello!
        people, guests, party_size = int 1 14 : We are {v} people. / There will be {v} of us. / It is for {v}.
        date, day, on = date : We would like to come on {v}. / It is about {v}. / Please keep it for {v}.
        time, at = clock : We would arrive at {v}. / Would {v} be possible? / Say, {v}.
        outside, terrace = bool : If possible, we want to sit outside. / A table on the terrace would be lovely. // Please give us a table inside. / We do not want to sit outside.
        occasion = enum : birthday => It is my husband's birthday. / We celebrate a birthday. | business => It is a business dinner. / I am bringing clients. | wedding => My daughter is getting married. / It is a small wedding party. | none => There is no special occasion.
        phone, telephone = phone : You can reach me at {v}. / My number is {v}.""",
    "course sign-up": """name, participant, student = person : My name is {v} and I would like to sign up. / Please put {v} on your list. / I want to register {v}.
        course, class, subject = pool course : The course is {v}. / It is for {v}. / I am interested in {v}.
        age = int 8 79 : I am {v} years old. / Age: {v}.
        weekday, day = pool weekday : {v} is best for me. / I can only come on {v}.
        start, start_date, from = date : I would start on {v}. / It begins on {v}, I think.
        experience, level = enum : none => I have never done it before. / I am a complete beginner. | some => I did it for a year at school. / I know a little already. | much => I have done it for many years. / I could almost teach it.
        paid, fee_paid = bool : I have already paid the fee. / The fee is paid. // I have not paid yet. / I will pay on the first day.
        email, contact.email = email : Please write to {v}. / My address is {v}.""",
    "absence note": """child, pupil, name = person : {v} cannot come to school today. / Please excuse {v}. / My child {v} has to stay at home.
        class, form, group = classroom : {v} is the class. / Class {v}.
        reason, cause = enum : ill => We were at the doctor's. / There is a fever. / The night was terrible, with coughing and no sleep. | family => We have a funeral in the family. / A cousin is getting married. | travel => Our train was cancelled and we are stuck. / We are still abroad. | appointment => There is an appointment at the eye clinic. / We have to go to an office that morning.
        days, number_of_days = int 1 10 : It will be {v} days. / I think it will take {v} days.
        from, first_day, since = date : It starts on {v}. / The first day is {v}.
        teacher = teacher : Could you tell {v}? / Please let {v} know.
        homework_wanted, send_homework = bool : Please send the homework. / Could somebody bring the homework? // No homework, please. / Please send no homework.
        parent, signed_by = person : Kind regards, {v} / Yours, {v}""",
    "found thing": """thing, object, item = pool thing : I have found a {v}. / Somebody left a {v} here. / A {v} was handed in.
        place, found_at, where = address : It lay in front of {v}. / I saw it near {v}.
        date, found_on, day = date : That was on {v}. / I picked it up on {v}.
        colour, color = pool colour : It is {v}. / The colour is {v}.
        finder, found_by, name = person : My name is {v}. / I am {v}. / Best wishes, {v}
        phone, number = phone : Call me at {v}. / My number is {v}.
        label, mark = code : Inside it says {v}. / There is a label with {v} on it.
        damaged = bool : It is a little torn. / Unfortunately it is damaged. // It looks like new. / It is not damaged.""",
    "accident report": """name, reporter, reported_by = person : I am {v} and I saw the accident. / This is {v}. I want to report an accident. / {v} speaking.
        street, place, location = address : It happened at {v}. / It was in front of {v}.
        date, on, day = date : It was on {v}. / That happened on {v}.
        time, at = clock : It must have been {v}. / The clock showed {v}.
        vehicle, vehicles.first = pool vehicle : A {v} was involved. / I saw a {v}.
        injured, number_injured = int 2 6 : {v} people were hurt. / There were {v} injured people.
        plate, licence_plate = code : The plate was {v}. / I wrote down {v}.
        kind, cause = enum : speed => Somebody drove much too fast. / The speed was crazy. | ice => The road was like glass. / Everything was frozen. | phone => The driver was looking at a phone. | alcohol => You could smell the beer.
        police_called, police = bool : The police have been there. / We called the police. // Nobody has called the police. / The police do not know about it.""",
    "job application": """name, applicant, candidate = person : My name is {v} and I am applying for a job. / I am {v}. / {v} has sent an application.
        position, job, role = pool job : I would like to work as a {v}. / The position is {v}.
        age = int 18 62 : I am {v} years old. / Age: {v}.
        studied, field, degree = pool subject : I studied {v}. / My subject at university was {v}.
        years, experience_years = int 1 30 : I have {v} years of experience. / I have done this for {v} years.
        languages = list language 1 3 : I speak {v}. / My languages are {v}.
        available_from, start, start_date = date : I can start on {v}. / I am free from {v}.
        driving_licence, can_drive = bool : I have a driving licence. / I can drive. // I have no driving licence. / I do not drive.
        town, lives_in, city = town : I live in {v}. / My home is {v}.""",
    "visit note": """patient, name = person : {v} came in today. / Saw {v} this morning. / Visit of {v}.
        age = int 2 94 : Age {v}. / {v} years old.
        complaint, illness, problem = pool illness : Complains of {v}. / It looks like {v}.
        temperature, temp_celsius = float 36 40 1 : Temperature {v}. / The temperature was {v} degrees.
        pulse, heart_rate = int 52 130 : Pulse {v}. / The pulse was {v}.
        rest_days, days_off = int 1 14 : Should rest for {v} days. / {v} days of rest.
        smoker = bool : Smokes. / Smokes a pack a day. // Does not smoke. / Never smoked.
        next_visit, return_on = date : Next visit on {v}. / Comes back on {v}.
        doctor = teacher : Seen by {v}. / {v} examined.""",
    "diary": """date, day = date : {v}. / Today is {v}. / Written on {v}.
        place, where, town = town : We are in {v} now. / I am sitting in a café in {v}.
        weather = pool weather : It was {v}. / The day was {v}.
        mood, feeling = enum : happy => I could sing all day. / What a wonderful day! | sad => I cried a little. / Nothing can cheer me up. | tired => I can hardly keep my eyes open. / My legs are like lead. | angry => I am still furious. / I slammed the door.
        ate, meal, dinner = pool dish : For dinner there was {v}. / I ate {v}.
        met, friend, company = person : I met {v}. / {v} was with me all day.
        spent, money_spent = money : I spent {v}. / It cost me {v}.
        walked_km, distance_km = float 1 32 1 : I walked {v} kilometres. / We did {v} km on foot.""",
    "rent advert": """kind, type = enum : flat => A bright flat is free. / Flat to let! | room => A room in our shared house is free. / We are looking for someone for a room. | house => A small house with its own entrance. / House to let. | garage => A dry garage is free. / Garage to let.
        rent, monthly_rent, price = money : The rent is {v} a month. / It costs {v} a month.
        street, address = address : The address is {v}. / It is at {v}.
        free_from, from, available = date : It is free from {v}. / You can move in on {v}.
        area_m2, size, square_metres = int 12 140 : It has {v} square metres. / Size: {v} m2.
        floor = int 1 9 : It is on floor {v}. / Floor: {v}.
        pets, pets_allowed = bool : Pets are welcome. / You may bring your cat. // No pets, please. / Pets are not allowed.
        contact.name, landlord, contact = person : Ask for {v}. / The landlord is {v}.
        contact.phone, phone = phone : Ring {v}. / Telephone {v}.""",
    "event": """event, title, name = pool event : Do not miss our {v}! / There will be a {v} again. / We invite you to the {v}.
        date, day, on = date : It takes place on {v}. / Save the date: {v}.
        start, begins_at, time = clock : It starts at {v}. / Doors open at {v}.
        place, venue, address = address : The place is {v}. / Come to {v}.
        entry, entry_fee, price = money : Entry is {v}. / You pay {v} at the door.
        speaker, guest, host = person : Our guest is {v}. / {v} will open it.
        free_for_children, children_free = bool : Children pay nothing. / It is free for children. // Children pay the same. / Children need a ticket too.
        seats, places = int 20 600 10 : There are {v} seats. / We have room for {v} people.""",
    "farm order": """customer, name, buyer = person : {v} called. / Message from {v}. / A note for {v}'s box:
        fruit, goods, what = pool fruit : The box should be full of {v}. / This time it is {v}.
        kilos, weight_kg, amount_kg = float 1 40 1 : {v} kilos, please. / The weight is {v} kg.
        pick_up, collected_on, day = date : It will be picked up on {v}. / Somebody comes for it on {v}.
        crates, boxes = int 1 9 : That makes {v} crates. / Use {v} crates.
        organic = bool : Only organic ones. / They must be organic. // They need not be organic.
        helper, driver = person : {v} takes it there. / The driver is {v}.""",
}  # fmt: skip
