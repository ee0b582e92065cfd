"""Scenes of going out: shops, restaurants, travel, health, appointments. Knows only how scenes are written."""

from __future__ import annotations

from nano.scenes import Scene

SCENES = (
    Scene("restaurant", """
A: Good [evening|afternoon]. [Are you ready to order?|What can I bring you?|Have you chosen?]
B: Yes, I [would like|will have|will take] {meal}[, please.|.] [And what do you recommend to drink?|And something to drink.]
A: [The {drink} is very good.|I recommend the {drink}.|Many people take the {drink} with it.]
= {B} orders {meal} [in a restaurant|at a restaurant].
--
B: [Good, I will take that.|Fine.|Then the {drink}, please.]
A: [Anything else?|Would you like a dessert?|And for dessert?]
B: [The {dessert}, please.|No, thank you, that is all.|Maybe later.]
=
?
B: Is there [meat|garlic|milk|pepper] in the {meal_word}? {diet.I.Cap}.
A: [I will ask the cook.|No, there is not.|A little, but we can leave it out.]
B: [That is kind.|Good.|Thank you.]
= {B.she.Cap} asks about the ingredients because {diet.B}.
?
B: [Actually, we are in a hurry.|I only have half an hour.] How long will it take?
A: About {minutes}.
B: [Then just the soup, please.|That is fine.|All right.]
= {B.she.Cap} asks how long it will take, and the waiter says about {minutes}.
""", {
        "drink": "white wine; apple juice; house lemonade; iced tea; red wine; mineral water; ginger beer; mint tea; dark beer",
        "dessert": "apple cake; ice cream; chocolate mousse; fruit salad; cheese plate; lemon tart",
        "diet": "I _am allergic to it; I _do not eat meat; my stomach is sensitive; my daughter cannot have it", "meal_word": "dish; sauce; starter",
    }, {"A": "Waiter"}),
    Scene("shop", """
A: [Good morning!|Hello!|Good afternoon.] [Are you looking for anything special?|What can I do for you?|What are you looking for?]
B: Yes, I [need|am looking for|would like] {thing}, [in|preferably in] {colour}[.|, if you have that.]
= {B} is looking for {thing} in {colour} in a shop.
--
A: [Here is one|We have this one|This one came in yesterday]. It costs {price}.
B: [Can I try it on?|Is it the right size? May I try?|It looks a little [big|small]. Can I try it on?]
A: [Of course|Yes|Certainly], the changing rooms are [over there|on the left|behind you].
B: [It fits perfectly. I will take it.|I like it. I will take it.|I will think about it. Thank you.]
= The assistant offers [{B.her} |]one for {price}.
?
A: I am sorry, we only have it in {colour2}.
B: [That is a pity.|Oh.] Will you get more?
A: [~Yes, {when}.|I am afraid not.|I can call our shop in {town}.]
B: [~Good, I will come back.|Then I will look elsewhere. Thank you.|That would be kind.]
= The shop only has it in {colour2}.
?
A: We have [two|three] [kinds|sorts]. This one is {price}, and that one is a little [cheaper|better but dearer].
B: What is the difference?
A: [The material.|This one is made by hand.|That one lasts longer.]
B: [I will take the better one.|Then the cheap one will do.|I will take this one, please.]
= The assistant shows {B.her} two kinds and explains the difference.
""", {
        "thing": """a raincoat; a pair of walking boots; a summer dress; a scarf; a woollen hat; a shirt; a belt; a pair of gloves; a jumper; a skirt;
        a tablecloth; a school bag; a pair of trousers; a swimsuit; a coat; an umbrella; a handbag; a lampshade; a vase; a tie""",
        "colour": "dark blue; green; red; grey; black; light brown; yellow; white", "colour2": "orange; pink; purple; beige; dark red",
    }, {"A": "Assistant"}),
    Scene("market", """
A: [Fresh {food} today!|Good morning! What would you like?|Hello again! The usual?]
B: [Good morning.|Hello.] [How much are|What do you want for] the {fruit}?
A: {price} a kilo. [They came in this morning.|They are from {town}.|They are very sweet.]
= {B} asks about the price of {fruit} at the market.
--
B: [I will take {few} kilos|Give me {few} kilos], please. And {food} too, if you have any.
A: [Here you are.|With pleasure.] Anything else?
B: No, [that is all|that is it]. [Here is a twenty.|Can I pay by card?]
= {B.she.Cap} buys {few} kilos and asks for {food} as well.
?
B: That is [rather expensive|more than last week]. [Can you do it for less?|Will you give me a better price?]
A: [If you take {few} kilos, yes.|Not today, it was a bad harvest.|For you, always.]
B: [All right then.|Good, I will take them.|Thank you.]
= {B.she.Cap} finds them expensive and asks for a better price.
""", {"fruit": "strawberries; cherries; plums; pears; peaches; apricots; grapes; tomatoes; figs; asparagus; mushrooms; raspberries; melons"},
        {"A": "Seller"}),
    Scene("directions", """
A: Excuse me, [how do I get|can you tell me the way|which is the way] to the {goal}?
B: [Sure.|Let me think.|That is easy.] [Go|Walk] straight on [for {minutes}|to the traffic lights|as far as the church], then turn {side} at the {mark}.
A: [~So {side} at the {mark}.|Is it far?|Can I walk there?]
B: [~Exactly, you cannot miss it.|It is about {minutes} on foot.|Yes, it is about {minutes} on foot.]
= {A} asks {B} the way to the {goal}. {B} tells {A.her} to turn {side} at the {mark}.
?
A: Sorry, I am [lost|not from here]. Is the {goal} near here?
B: Not really. [You should|Better] take [bus|tram] number {many} [from over there|opposite the {mark}] and get off after {few} stops.
A: [~Where do I buy a ticket?|How often does it go?|Thank you. How long does it take?]
B: [~From the driver.|Every {minutes}.|About {minutes}.]
= {A} is lost and asks for the {goal}. {B} recommends taking number {many} for {few} stops.
--
A: {thanks}
B: {welcome}
=
?
A: {thanks} [You have saved my day.|I have an appointment there at {time}.]
B: [Good luck!|Then hurry!|Have a nice day.]
=
""", {
        "goal": """town hall; railway museum; hospital; nearest pharmacy; main station; swimming pool; post office; old bridge; university; concert hall;
        castle; police station; youth hostel; cathedral; football stadium; court; harbour; market square""",
        "mark": "bakery; bank; school; petrol station; church; park; supermarket; statue; fire station; cinema; hotel", "side": "left; right",
    }, strangers=True),
    Scene("appointment", """
A: {practice}, good morning. [How can I help you?|What can I do for you?]
B: Good morning, this is {B.call} {surname}. I [would like|need] an appointment {purpose}.
A: [Let me see.|One moment, please.] [How about {on} at {office}?|We have something free {on} at {office}.|Would {on} at {office} suit you?]
= {B} calls to make an appointment {purpose.B}.
--
B: [That is fine.|Yes, that suits me.|Perfect.] [Do I need to bring anything?|]
A: [Just your insurance card.|Please come ten minutes early.|No, nothing.]
= The appointment is {on} at {office}.
?
B: [I am afraid|Sorry, but] {busy.I}. Is there anything {when2}?
A: Yes, at {time2}. [Shall I put you down?|Would that be better?]
B: Yes, [please|thank you].
= {B.she.Cap} cannot come {on} because {busy.B}, so the appointment is {when2} at {time2}.
?
B: [Is there nothing sooner?|That is a long time to wait.] It is [really painful|rather urgent].
A: [Then come in {minutes}|If you come right now, we can fit you in|Somebody has just cancelled: today at {time2}].
B: [I am on my way.|Thank you, I will come.]
= {B.she.Cap} says it is urgent and may come today.
""", {
        "practice, purpose": """
        Doctor Klein's practice | for a check-up
        Dental clinic | because of a toothache
        Salon Bella | for a haircut
        Animal clinic | to have my dog vaccinated
        Eye clinic | to have my eyes tested
        Smith's garage | to have the tyres changed
        City health centre | for a vaccination
        Doctor Patel's practice | about my knee
        Physiotherapy centre | for my shoulder
        Passport office | to renew my passport
        Music school | for a trial lesson
        Dental clinic | for a cleaning
        """,
        "when2": "next Monday; on Thursday morning; the following week; on Wednesday", "time2": "half past nine; 11 am; two o'clock; 4:15 pm",
    }, {"A": "Receptionist"}),
    Scene("doctor", """
A: [What seems to be the problem?|What brings you here?|How can I help you today?]
B: {complaint.I.Cap}[.|, doctor.]
A: [~Since when?|How long have you had this?|When did that start?]
B: [~Since {day}.|For {days} now.|After my holiday.]
= {B} sees the doctor because {complaint.B}.
--
A: [Let me have a look.|Please breathe in.|Open your mouth, please.] Hm. It is {finding}. [You should|I want you to] {advice}.
B: [~Is it serious?|Do I need medicine?|Can I go to work?]
A: [~No, do not worry.|Not if you rest.|Yes, but come back in a week if it is not better.]
= The doctor says it is {finding} and tells {B.her} to {advice}.
?
A: Do you {habit}?
B: [A little.|Yes, I must admit.|Quite a lot, to be honest.|More than I should.]
A: That [may be|is probably] the reason. Try to do that less, and {advice}.
= The doctor thinks it has to do with how {B.she} lives and advises {B.her} to {advice}.
""", {
        "complaint, finding, advice, habit": """
        I _have a terrible headache | tension in the neck | take more breaks | work at a screen all day
        my throat hurts and I cannot swallow | a throat infection | drink warm tea and rest | smoke
        my back hurts whenever I bend | a strained muscle | swim twice a week | lift heavy things
        I cannot sleep at night | nothing but stress | avoid coffee after lunch | drink coffee in the evening
        I _have had a cough for weeks | a mild bronchitis | stay in bed for three days | smoke
        my stomach aches after every meal | too much acid | eat smaller meals | eat late at night
        I twisted my ankle on the stairs | only a sprain | keep the foot up | do a lot of sport
        my skin itches everywhere | an allergy | change the washing powder | have a pet
        I _am always tired | a lack of iron | eat more lentils and spinach | sleep less than seven hours
        my ears ring all the time | the result of loud noise | wear ear plugs | listen to loud music
        my eyes burn in the evening | dry eyes | use these drops | read in the dark
        I cut my finger with a bread knife | not deep | keep it clean and dry | cook a lot
        """,
    }, {"A": "Doctor"}),
    Scene("train", """
A: [Hello|Good morning], [a ticket|one ticket] to {town}, please[.|, for {on}.]
B: [Single or return?|One way or return?]
A: [Return, please.|Single.|Single, please. How much is it?]
B: That is {price}. [You change in {town2}.|The next train leaves at {time} from platform {few}.]
= {A} buys a train ticket to {town} for {price}.
?
A: Excuse me, [~when does the next train to {town} leave|is this the right platform for {town}]?
B: [~It leaves at {time} from platform {few}.|No, you need platform {few}. It leaves at {time}.]
A: [~Do I have to change?|Is it direct?]
B: [~Yes, in {town2}.|No, you change once, in {town2}.]
= {A} asks about the train to {town}, which leaves at {time}. {A.she.Cap} has to change in {town2}.
--
A: [Can I take my bicycle?|May I take my dog?|Can I get on with a pushchair?]
B: [Yes, but {condition}.|I am afraid not.|Of course.]
A: {thanks}
=
?
A: [~And if the train is late?|How long do I have for the change?]
B: [~There is another one {minutes} later.|You have {minutes}.]
A: [Good to know.|That should be enough.]
=
""", {"condition": "only on weekdays; it costs extra; you have to reserve; only in the last carriage; not before nine"}, {"B": "Clerk"}),
    Scene("hotel", """
A: [Good evening|Welcome]. [Do you have a reservation?|How can I help?]
B: Yes, [under|in] the name of {surname}, {room} for {few} nights.
A: [Here it is.|Let me see. Yes.] Room {number}, on the {floor} floor. Breakfast is from [six|seven|half past six|half past seven].
= {B} checks in at a hotel and gets room {number} for {few} nights.
?
A: Reception, good [evening|morning].
B: Hello, this is room {number}. {fault.Cap}.
A: I am very sorry. [I will send somebody up|We will see to it] [at once|in {minutes}].
= {B} calls the reception from room {number} because {fault}.
--
B: [Is there|Do you have] [a car park|a lift|a place to swim|internet in the rooms]?
A: Yes, [it is free for guests|it is included|of course].
B: [Very good.|Thank you.]
=
?
B: [Could you wake me at {time2}?|Can I have breakfast in my room?|Could I stay one night longer?]
A: [Certainly.|Of course, no problem.|Yes, I will make a note of it.]
=
""", {
        "room": "a double room; a single room; a family room; a quiet room; a room with a view",
        "number": "[1|2|3|4][0|1|2]4; [1|2|3][0|1]7; [2|5]12; 30[1|2|8]", "floor": "first; second; third; top",
        "fault": """the heating does not work; there are no towels; the window will not close; the shower is cold; the light in the bathroom is broken;
        it is very noisy; the key does not fit; the television has no picture""",
        "time2": "six o'clock; half past five; seven sharp",
    }, {"A": "Receptionist"}),
    Scene("holiday", """
A: {B.call}, where [shall|should] we go [this summer|in the autumn|for our holiday|at Easter]?
B: [I would like to|Let us|We could] {plan_one}.
A: [Hm, I would rather|I was hoping to|I would prefer to] {plan_two}. {reason.Cap}.
= {A} and {B} [discuss|talk about] their holiday. {B} wants to {plan_one.B}, but {A} would rather {plan_two.A}.
--
B: [You are right|That is true|Good point]. [Let us do that|Then we do it your way]. I will [book it|look for a place] tonight.
A: {glad}
= They decide to {plan_two}.
?
B: [We did that last year.|That is far too expensive.|I need a change.] Please?
A: [All right|Very well], [this time we do it your way|you win]. But next year I choose.
B: [Promise.|Agreed.]
= They decide to {plan_one.B} [this time|this year].
?
B: [Why not both?|We could do both.] [One week each.|First yours, then mine.]
A: [Do we have enough money?|Do we have that many days off?]
B: If we [take the train|cook for ourselves|stay with my cousin], yes.
= They decide to do both.
""", {
        "plan_one": "go to the seaside in {country}; rent a houseboat; walk in the mountains; visit my family in {town}; cycle along the coast",
        "plan_two, reason": """
        stay at home and paint the kitchen | it has been waiting for two years
        see the cities of {country} | I love old churches and museums
        camp by a lake | the children can play outside all day
        take the night train to {town} | I do not like flying
        rent a cottage in {country} | I need peace and quiet
        learn to sail | I have always dreamed of it
        go skiing | there will be plenty of snow
        """,
    }),
    Scene("lost", """
A: [Excuse me, I|Hello. I think I] {lost} my {item} [here|on the {line}|in this building] [yesterday|this morning|on {day}]. [Has anybody found it?|Has it been handed in?]
B: [What does it look like?|Can you describe it?]
A: It is {look}, [with my name on it|with a small scratch|with a hole at the side].
= {A} is looking for {A.hers} {item}, which is {look}.
--
B: [Let me check.|One moment.] [Is this it?|You are lucky, here it is.]
A: Yes! {thanks} [I was so worried.|It was a present from {kin}.]
B: [Please sign here.|{welcome}]
= {B} has found it and gives it back.
?
B: [No, I am sorry.|Nothing like that, I am afraid.] [Leave me your number|Please fill in this form], and we will call you.
A: [All right.|Thank you for your help.] [It means a lot to me.|I will come back tomorrow.]
= Nobody has found it yet. {B} will call {A.her} if it turns up.
""", {
        "lost": "left; lost; forgot", "line": "number {many} bus; train from {town}; ferry; tram",
        "item": "umbrella; wallet; scarf; notebook; rucksack; glasses case; camera; sports bag; sketchbook; violin case; purse; jacket",
        "look": "dark red; made of leather; green with white spots; small and black; blue and quite new; striped; grey",
    }, {"B": "Officer"}),
)
