"""Short stories with questions about them, as text. Knows no prompt; `passages` reads and asks them.

Groups of alternatives as in `scenes`. A plain line is a sentence of the story; `? question | answer` asks about it, also
when it is not told: questions of alternatives that were not drawn have the answer that the text does not say.
"""

SHARED = """
job: baker; nurse; teacher; farmer; bus driver; painter; vet; engineer; librarian; cook; journalist; carpenter; student; gardener; pilot; musician
reason: because {A.she} needed a rest; because the roads were flooded; because a friend had asked {A.her} to; because it was cheaper; because {A.she} had lost a bet;
    because the doctor had advised it; because {A.hers} car was broken; because {A.she} wanted to see the sea; because of the heat; because {A.she} was curious
when: On Monday; On Tuesday morning; On Friday evening; Last summer; In March; On Sunday; Early in the morning; At midnight; In the first week of May; On New Year's Day;
    One winter; In the autumn; Three years ago; Yesterday; On the last day of school
transport: by train; by bus; on foot; by bicycle; by boat; in an old van; by tram; on horseback; in a taxi
with: a cousin; an old friend; two neighbours; a dog; the whole class; a brother; a colleague; nobody
weather: rain; bright sunshine; thick fog; heavy snow; a strong wind; great heat
found: an old coin; a letter without a stamp; a silver ring; a box of photographs; a map; a rusty key; a small bird; a wallet full of money; a bottle with a message; a violin
where: under a bench; behind the church; in a drawer; on the beach; in the attic; between two stones; at the bottom of a well; in the pocket of an old coat; under the stairs
event: a concert; a market; a football match; a wedding; an auction; a bicycle race; a school play; a lecture about bees; a cooking contest; a chess tournament
prize: a basket of apples; a silver cup; a weekend by the sea; a new bicycle; a book; a ham; two tickets for the opera; a medal
food: bread and cheese; fish soup; a plum cake; roast chestnuts; rice with beans; pancakes; an apple pie; noodles; dumplings
trouble: the power went out; it began to snow; the main road was closed; a goat ran onto the stage; the key broke in the lock; somebody rang the fire alarm; the boat began to leak;
    a tree fell across the path; the microphone stopped working; the band did not arrive
shop: bakery; bookshop; flower shop; bicycle workshop; tea room; small hotel; pottery; dance school; repair café; cinema
count: two; three; four; five; six; seven; eight; nine; twelve
animal: cat; parrot; horse; tortoise; goat; goose; rabbit; donkey; fox; owl
colour: red; blue; green; white; yellow; black; grey; brown
fur: black; white; brown; grey; spotted; ginger
place: library; museum; old mill; town hall; lighthouse; harbour; railway station; castle; park; school; island; farm; theatre; swimming pool
made: a table; a boat; a kite; a clock; a bird house; a chair; a doll's house; a bridge of wood; a drum; a rocking horse
material: oak; pine; old doors; cardboard; steel; bamboo; driftwood; glass and wire
fear: dogs; water; heights; the dark; thunder; crowds; spiders; lifts
study: stars; mushrooms; whales; old coins; earthquakes; butterflies; ancient writing; glaciers; bees; dialects
"""

STORIES = (
    """{when} {A} went to {town} {transport} {reason}.
? Where did {A} go? | To {town}.
? How did {A} get to {town}? | {transport.Cap}.
? Why did {A} go to {town}? | {reason.Cap}.
?? Who paid for the trip to {town}?
--
{A.she.Cap} took {with} along.
? Who went with {A}? | {with.Cap}.
?
There was {weather} all the way.
? What was the weather like? | There was {weather}.
?
The journey took {count} hours.
? How long did the journey take? | {count.Cap} hours.
--
At the {place} {A.she} met {B}, a {job} whom {A.she} had not seen for {count2} years.
? Whom did {A} meet? | {B}.
? What does {B} do for a living? | {B} is a {job}.
? How long had {A} not seen {B}? | For {count2} years.
? Where did they meet? | At the {place}.
--
They ate {food} and talked until it was dark.
? What did they eat? | {food.Cap}.
?
Then {trouble}, and they had to go home early.
? Why did they go home early? | Because {trouble}.""",
    """{A} is a {job} and lives in {town}. {when} {A.she} found {found} {where}.
? What is {A}'s job? | {A.she.Cap} is a {job}.
? Where does {A} live? | In {town}.
? What did {A} find? | {found.Cap}.
? Where did {A} find it? | {where.Cap}.
?? How old is {A}?
--
{A.she.Cap} took it to {B}, who knows a lot about such things.
? To whom did {A} take it? | To {B}.
?
{A.she.Cap} showed it to nobody for {count} days.
? For how long did {A} show it to nobody? | For {count} days.
--
It turned out to be worth {count2} thousand euros.
? What was it worth? | {count2.Cap} thousand euros.
?
It turned out that it belonged to an old {job2} in {town2}, who had lost it {count2} years before.
? To whom did it belong? | To an old {job2} in {town2}.
? When was it lost? | {count2.Cap} years before.
--
The owner gave {A.her} {prize} as a reward.
? What was the reward? | {prize.Cap}.
?
Now it can be seen in the museum of {town2}.
? Where can it be seen now? | In the museum of {town2}.""",
    """{when} {event} was held at the {place} of {town}.
? What was held at the {place}? | {event.Cap}.
? Where was {event} held? | At the {place} of {town}.
?? Who was the mayor of {town} at the time?
--
{count.Cap} hundred people came, though there was {weather}.
? How many people came? | {count.Cap} hundred.
? What was the weather like? | There was {weather}.
?
Only {count} people came, because there was {weather}.
? How many people came? | Only {count}.
? Why did so few people come? | Because there was {weather}.
--
{A} won the first prize, {prize}. {B} came second.
? Who won the first prize? | {A}.
? What was the first prize? | {prize.Cap}.
? Who came second? | {B}.
?
{A} gave a speech that lasted {count2} minutes. {B} fell asleep.
? Who gave a speech? | {A}.
? How long did the speech last? | {count2.Cap} minutes.
? Who fell asleep? | {B}.
--
In the middle of it {trouble}.
? What happened in the middle of it? | {trouble.Cap}.
?
Afterwards there was {food} for everybody.
? What was there to eat afterwards? | {food.Cap}.""",
    """{A} and {B} opened a {shop} in {town} {count} years ago.
? What did {A} and {B} open? | A {shop}.
? Where is the {shop}? | In {town}.
? When did they open it? | {count.Cap} years ago.
?? How much rent do they pay?
--
Before that {A} was a {job} and {B} a {job2}.
? What was {A} before? | A {job}.
? What was {B} before? | A {job2}.
--
The first year was hard, and they had only {count2} customers a day.
? How many customers did they have in the first year? | {count2.Cap} a day.
?
From the first day people stood in line.
? Was it successful from the beginning? | Yes, people stood in line from the first day.
--
Today {count3} people work there, and a {fur} {animal} sleeps in the window.
? How many people work there today? | {count3.Cap}.
? What sleeps in the window? | A {fur} {animal}.
?
Next year they want to open a second one in {town2}.
? What do they plan for next year? | They want to open a second one in {town2}.
? Where do they want to open the second one? | In {town2}.""",
    """When {A} was {count} years old, {A.she} built {made} out of {material}.
? How old was {A} when {A.she} built {made}? | {count.Cap} years old.
? What did {A} build? | {made.Cap}.
? What was it made of? | {material.Cap}.
?? Where is {A} living now?
--
{A.hers.Cap} neighbour {B}, a {job}, lent {A.her} the tools.
? Who lent {A} the tools? | {A.hers.Cap} neighbour {B}.
? What was {B}'s job? | {B} was a {job}.
?
It took {A.her} {count2} weeks.
? How long did it take? | {count2.Cap} weeks.
--
{A.she.Cap} painted it {colour} and gave it to {A.hers} sister.
? What colour was it? | {colour.Cap}.
? Who got it? | {A.hers.Cap} sister.
?
At the fair in {town} it won {prize}.
? What did it win? | {prize.Cap}.
? Where was the fair? | In {town}.
--
Today {A.she} is a {job2} and still has a photograph of it.
? What is {A} today? | A {job2}.
?
Years later {trouble}, and it was lost.
? How was it lost? | {trouble.Cap}.""",
    """All {A.hers} life {A} had been afraid of {fear}.
? What was {A} afraid of? | Of {fear}.
?? What was the name of {A}'s mother?
--
{when} {A.she} decided to do something about it and called {B}, a {job} from {town}.
? Whom did {A} call? | {B}.
? Where does {B} come from? | From {town}.
? What is {B}'s job? | {B} is a {job}.
?
{when} {A.hers} friend {B} gave {A.her} {prize} to make {A.her} try.
? Who wanted to help {A}? | {A.hers.Cap} friend {B}.
? What did {B} give to {A}? | {prize.Cap}.
--
They met {count} times at the {place}.
? How often did they meet? | {count.Cap} times.
? Where did they meet? | At the {place}.
--
At first {A} only stood there and trembled, but in the end {A.she} laughed.
? What did {A} do at first? | {A.she.Cap} only stood there and trembled.
? Was {A} still afraid in the end? | No, in the end {A.she} laughed.
?
It did not help, and {A} gave up.
? Did it help? | No, it did not help.
? What did {A} do in the end? | {A.she.Cap} gave up.""",
    """The {animal} of the {job} {A} is {fur} and {count} years old.
? What colour is the {animal}? | {fur.Cap}.
? How old is the {animal}? | {count.Cap} years old.
? Whose {animal} is it? | It belongs to {A}.
?? What is the {animal} called?
--
Every morning it walks to the {place} and waits for {B}.
? Where does the {animal} go every morning? | To the {place}.
? For whom does it wait? | For {B}.
?
It eats nothing but {food}.
? What does the {animal} eat? | Nothing but {food}.
--
{when} it ran away. After {count2} days it was found {where} in {town}.
? When did it run away? | {when}.
? After how many days was it found? | After {count2} days.
? Where was it found? | {where.Cap} in {town}.
?
{when} it stopped a thief who had stolen {found}.
? What had the thief stolen? | {found.Cap}.
? Who stopped the thief? | The {animal}.
--
Since then the whole town knows it.
?
{A} says {A.she} would not sell it for {count3} thousand pounds.
? Would {A} sell it? | No, not for {count3} thousand pounds.""",
    """Doctor {B} {surname} studies {study} at the University of {town}.
? What does Doctor {surname} study? | {study.Cap}.
? Where does Doctor {surname} work? | At the University of {town}.
?? How many books has Doctor {surname} written?
--
With {count} students {B.she} spent {count2} months in {country}.
? In which country was the work done? | In {country}.
? How many students came along? | {count.Cap}.
? How long did they stay? | {count2.Cap} months.
--
They had expected little, but they found more than {count3} hundred examples.
? What did they find? | More than {count3} hundred examples.
?
They found nothing new, because {trouble}.
? Why did they find nothing new? | Because {trouble}.
--
{A}, a student, drew all the maps.
? Who drew the maps? | {A}.
? What did {A} do? | {A.she.Cap} drew all the maps.
?
Their report appeared {when_low}.
? When did the report appear? | {when_low.Cap}.""",
    """{when} a {job} called {A} missed the last train from {town} to {town2}.
? Which train did {A} miss? | The last train from {town} to {town2}.
? What is {A}'s job? | {A.she.Cap} is a {job}.
?? What did the ticket cost?
--
{A.she.Cap} had only {count} euros and no coat.
? How much money did {A} have? | {count.Cap} euros.
?
It was cold, and there was {weather}.
? What was the weather like? | It was cold, and there was {weather}.
--
So {A.she} walked {count2} kilometres to the next village, where {B} let {A.her} sleep in the kitchen.
? How far did {A} walk? | {count2.Cap} kilometres.
? Who let {A} sleep in the kitchen? | {B}.
?
So {A.she} sat down in the waiting room, where {B} shared {food} with {A.her}.
? Where did {A} wait? | In the waiting room.
? What did {B} share? | {food.Cap}.
? Who shared {food}? | {B}.
--
A year later they were married.
? What happened a year later? | They were married.
?
They still write to each other.
? Do they still know each other? | Yes, they still write to each other.""",
    """The {place} of {town} was built {count} hundred years ago by {B} {surname}.
? Who built the {place} of {town}? | {B} {surname}.
? When was the {place} built? | {count.Cap} hundred years ago.
?? How tall is the {place}?
--
It is made of {material} and painted {colour}.
? What is it made of? | {material.Cap}.
? What colour is it? | {colour.Cap}.
--
It burned down twice, but the people of the town built it again every time.
? How often did it burn down? | Twice.
?
During the war it was used as a school.
? What was it used for during the war? | It was used as a school.
--
Today {A}, a former {job}, shows it to visitors. A visit costs {count2} euros.
? Who shows it to visitors? | {A}.
? What does a visit cost? | {count2.Cap} euros.
? What was {A}'s job before? | {A.she.Cap} was a {job}.
?
Today it is closed, because there is no money for repairs.
? Why is it closed? | Because there is no money for repairs.""",
)  # fmt: skip
