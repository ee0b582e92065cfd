"""Scenes of work, school and skills: meetings, homework, advice, repairs. Knows only how scenes are written."""

from __future__ import annotations

from nano.scenes import Scene

SCENES = (
    Scene("deadline", """
A: {B.call}, how is the {work} [coming along|going]? [It is due|We need it|The client expects it] {when}.
B: [Not so well.|Slowly.|To be honest, I am behind.] {cause.I.Cap}.
= {A} asks {B} about the {work}, which is due {when}. {B} is behind because {cause.B}.
?
B: {A.call}, I [do not think I can|am afraid I cannot] finish the {work} {when}. {cause.I.Cap}.
A: [What?|Hm.|I see.] [That is a problem.|When would it be ready?|Why did you not tell me earlier?]
= {B} tells {A} that the {work} will not be ready {when} because {cause.B}.
--
A: [I can ask {helper} to help you.|{helper} has some time. Shall I ask?|What if {helper} takes over a part of it?]
B: That would be [a great help|wonderful|a relief]. {thanks}
= {A} will ask {helper} to help.
?
A: [Take|You can have|Then I give you] {few} more days, but [not more|that is the last time|then it must be perfect].
B: [Thank you.|I will not let you down.|That is enough.]
= {A} gives {B.her} {few} more days.
?
A: I am sorry, but [it cannot wait|there is no more time]. [Please stay longer tonight.|You will have to work on Saturday.|Drop everything else.]
B: [All right.|I understand.|Then I will do my best.]
= {A} insists on the date.
""", {
        "work": "sales report; budget; new brochure; translation; presentation; floor plan; contract; newsletter; website; survey; stock list; annual review",
        "cause": """my computer crashed twice; I _have not received the figures yet; I was ill for {few} days; two colleagues are on leave;
        the client keeps changing things; I underestimated the work; the printer is broken; I had to train a new colleague""",
        "helper": "Nadia; Marco; Helen; Oscar; the intern; Priya; Mr Brooks; Mrs Dale",
    }),
    Scene("meeting", """
A: [Good morning|Hi], {B.call}. [When can we meet|When can we talk|Can we sit down together to talk] about {topic}[?|, please?]
B: [How about|I could do|What about] {on} at {office}?
= {A} wants to meet {B} about {topic}. {B} suggests {on} at {office}.
--
A: [That works.|Good for me.] [In your office?|Where?|The small meeting room?]
B: [Yes, and bring {paper}.|In the canteen, it is quieter.|I will book the room on the {few_th} floor.]
A: [Will do.|Fine.|Good.]
= [{A} agrees.|They agree on it.]
?
A: [I am afraid|Sorry,] {busy.I}. [Could we make it an hour later?|Is {when2} possible?|Can we do it by phone?]
B: [Yes, no problem.|Let me think. Yes.|If it has to be.]
= {A} cannot because {busy.A}, and they find another way.
?
A: [Sorry, could|Could] {helper} join us? [It concerns the whole team.|Nobody knows the details better.]
B: [Good idea.|The more the better.|Yes, I will send an invitation.]
= {helper} will join them.
""", {
        "topic": """the new prices; next year's budget; the summer party; the move to the new office; your first three months; the complaints about the canteen;
        the training plan; the trade fair in {town}; the new schedule; the holiday plan; safety in the workshop; the open position; the project in {town}""",
        "paper": "last month's figures; your notes; the drawings; a list of questions; the old contract; your calendar",
        "few_th": "second; third; fourth; fifth", "when2": "on Friday; tomorrow; next week; on Monday morning",
        "helper": "Nadia; Marco; Helen; Oscar; Priya; Mr Brooks; Mrs Dale; Sandra; Ravi",
    }),
    Scene("day off", """
B: [Do you have a minute|May I come in|Can I ask you something], {A.call}?
A: [Sure|Of course|Come in]. What is it?
B: I would like to take {length} off {on}. {why.I.Cap}.
= {B} asks {A} for {length} off {on} because {why.B}.
--
A: [That should be possible.|I do not see a problem.|Yes, take it.] [Who will take over your work?|Please tell the others.]
B: [{helper} will.|I will finish everything before.|I have already asked {helper}.]
= {A} [agrees|allows it|has nothing against it].
?
A: That is [difficult|a bad time]: {obstacle}. Could it be [a week later|another day]?
B: [I will see what I can do.|I am afraid not.|Yes, I think so.]
= {A} finds it difficult because {obstacle.A} and asks for another time.
""", {
        "length": "a day; two days; half a day; a week; the afternoon",
        "why": """my sister is getting married; I _am moving house; my son starts school; I _have to see a specialist; my parents are coming from {country};
        I _have a driving test; the electrician is coming; my daughter is ill; it is our anniversary; I _need a rest""",
        "obstacle": "{few} people are already away; the auditors are coming; we open the new hall that week; {helper} is on leave too",
        "helper": "Nadia; Marco; Helen; Oscar; Priya; Sandra; Ravi",
    }),
    Scene("interview", """
A: [Please take a seat.|Thank you for coming.] [Why do you want to be a {job}|What interests you about the work of a {job}|Why did you apply as a {job}]?
B: {motive.I.Cap}.
A: And what [is your experience|have you done so far]?
B: I worked as a {job2} in {town} for {years}.
= {B} has an interview for a job as a {job}. {B.she.Cap} worked as a {job2} in {town} for {years}.
--
A: What are your [strengths|strong points]?
B: I am {strength}[, and I learn quickly|]. 
A: And your weaknesses?
B: {weakness.I.Cap}.
= {B.she.Cap} describes {B.herself} as {strength}.
?
A: When could you start?
B: [On the first of next month.|In {few} weeks.|Immediately.|As soon as I have found a flat.]
A: [We will let you know by {day}.|You will hear from us.|Thank you, that was all.]
= {B.she.Cap} will hear back later.
?
A: Do you have any questions?
B: Yes. [~How big is the team?|Do I have to work at weekends?|Is there a training period?]
A: [~There are {many} of us.|Once a month.|Yes, the first {few} weeks.]
=
""", {
        "job": "baker; nurse; gardener; bookkeeper; driver; receptionist; teacher; cook; librarian; carpenter; programmer; tour guide",
        "job2": "waiter; sales assistant; porter; cleaner; trainee; warehouse worker; secretary; painter; lifeguard; tutor",
        "motive": """I _like working with people; I _want to learn something new; your company has a very good name; I _live just around the corner;
        it has been my dream since I was a child; I _need more responsibility""",
        "strength": "patient; punctual; good with numbers; calm under pressure; creative; a good listener",
        "weakness": "I _talk too much; I _find it hard to say no; my handwriting is terrible; I _am not a morning person",
    }, strangers=True),
    Scene("homework", """
A: [Have you done|Did you do|Are you done with] the {subject} homework, {B.call}?
B: [Only half of it.|No, I was ill.|I tried, but I got stuck.|Not yet.] [The part about {topic} is so hard.|I do not understand {topic}.]
= {A} asks {B} about the {subject} homework. {B} has trouble with {topic}.
--
A: [It is not that hard.|I can explain it.|I had the same problem.] [Let us go through it|We can do it together] {place}.
B: [Really?|You would do that?] {thanks}
= {A} offers to go through it together {place}.
?
A: [Me neither.|I don't get it either.] [Let us ask|Maybe we should ask] [the teacher|my brother|Felix|your aunt].
B: Good idea. [Right after class?|I will write to him.|I will call tonight.]
= They [decide to|will] ask somebody for help.
?
B: Can I copy yours? [Just this once.|Please!|It is due in {minutes}!]
A: No, [that is not fair|then you learn nothing|we both get into trouble]. [But I can give you a hint.|Ask for more time instead.]
B: [Fine.|You are right.|Okay, a hint then.]
= {B} wants to copy it, but {A} refuses.
""", {
        "subject, topic": """
        maths | [fractions|percentages|equations with two unknowns]
        history | [the French Revolution|the Roman army|trade in the Middle Ages]
        biology | [the heart|photosynthesis|how bees live]
        geography | [rivers of Africa|volcanoes|why there are tides]
        physics | [levers|electric circuits|how lenses work]
        chemistry | [acids|how salt forms]
        English | [the poem|the difference between adverbs and adjectives]
        music | [reading notes|the parts of an orchestra]
        art | [perspective|mixing colours]
        Spanish | [the past tense|irregular verbs]
        """,
        "place": "in the library; at my house; after school; on the bus; during the break; online tonight",
    }),
    Scene("exam", """
A: How [was|did] your {exam}[| go], {B.call}?
B: {detail}
= {A} asks {B} how {B.hers} {exam} went. 
--
A: When do you get the result?
B: {when.Cap}. [I can hardly sleep.|I try not to think about it.|I already know that I passed.]
= {B.she.Cap} gets the result {when}.
?
A: [I failed mine the first time.|Mine is {when}.|I am sure you passed.] [Any advice?|What would you do differently?]
B: [Start early and sleep well.|Learn with old questions.|Do not drink so much coffee.]
= {B} gives {A} some advice.
?
A: [Let us celebrate anyway.|You need a break.] I will buy you [an ice cream|a coffee|lunch].
B: {glad} {thanks}
= {A} invites {B.her} [to cheer {B.her} up|afterwards].
""", {
        "exam": "driving test; chemistry exam; piano exam; final exam; French test; swimming test; interview; history test",
        "detail": """Hard to say. The first part was easy, the second was awful.; Terrible! I was so nervous that my hands shook.;
        Very good! I had learned exactly the right things.; Not so well. I ran out of time.; Do not ask! They asked about everything I had not learned.;
        Not bad. The examiner was very friendly.; Better than expected. I finished {minutes} early.""",
    }),
    Scene("advice", """
A: [What is the matter|Is everything all right|What is wrong], {B.call}?
B: [Not really.|It is nothing.|I need your advice.] {trouble.I.Cap}.
= {B} tells {A} that {trouble.B}.
?
B: Can I ask you [for advice|something], {A.call}? {trouble.I.Cap}.
A: [Oh dear.|I see.|That is not easy.] Since when?
B: [For {duration}.|Since the spring.|For quite a while now.]
= {B} asks {A} for advice because {trouble.B}.
--
A: [Have you tried to|Why don't you|Maybe you should|If I were you, I would] {advice}[?|.]
B: [I have not thought of that.|I will try that.|That might work.] {thanks}
= {A} advises {B.her} to {advice_should}[.|, and {B} will try.]
?
A: [Why don't you|You could] {advice}[?|.]
B: [I tried that already, but it did not help.|I am too shy for that.|That is easier said than done.]
A: [Then give it time.|Then talk to a professional.|I could come with you, if you want.]
B: [Maybe you are right.|That would help me a lot.|I will think about it.]
= {A} suggests that {B.she} {advice_should}, but {B} is not convinced.
""", {
        "trouble, advice, advice_should": """
        I _cannot sleep | go for a walk in the evening | go for a walk in the evening
        my boss never listens to me | put it in writing | put it in writing
        I _have quarrelled with my best friend | make the first step | make the first step
        I _spend too much money | write down everything you buy | write down everything
        my son hardly speaks to me | do something together at the weekend | do something with him
        I _am always late | set the clock ten minutes ahead | set the clock ahead
        I _have too much to do | say no more often | say no more often
        I _feel lonely in this town | join a club | join a club
        I _cannot decide between two jobs | make a list of what speaks for each | make a list
        I _have to give a speech and I _am afraid | practise in front of a mirror | practise in front of a mirror
        I _do not get any exercise | take the stairs | take the stairs
        my flatmate never cleans | agree on a plan for the week | agree on a plan with the flatmate
        my English does not get better | watch films without subtitles | watch films without subtitles
        I _forget people's names | repeat the name when you hear it | repeat each name aloud
        """,
    }),
    Scene("repair", """
A: [Hello|Good morning], [you called about|I am here about|so this is] the {thing}?
B: Yes, [come in|thank you for coming]. {fault.Cap}.
A: [Since when?|Let me have a look.|Did you drop anything on it?] Ah. {cause.Cap}.
= {B} has called a technician about the {thing} because {fault.B}. The technician finds that {cause}.
--
B: Can you [fix|repair] it?
A: [Yes, in {minutes}.|Yes, but I need a new part. I can come back {when}.|I can, but a new one would be cheaper.]
B: And what will it cost?
A: About {cost}[.|, all in all.]
= The repair will cost about {cost}.
?
B: Oh, that was [my fault|my husband's fault|the children]. [How embarrassing!|I am sorry.]
A: [It happens all the time.|You would not believe how often I see that.] [It is already working again.|There. Done.]
= {A.she.Cap} repairs it at once.
""", {
        "thing, fault, cause": """
        washing machine | it will not pump out the water | a sock is stuck in the pipe
        heating | only half of the radiators get warm | there is air in the pipes
        oven | it switches itself off after ten minutes | the fan is blocked
        fridge | it makes a loud humming noise | it stands too close to the wall
        boiler | we have had no hot water since {day} | a fuse has blown
        dishwasher | the glasses stay dirty | the filter has never been cleaned
        piano | two keys stick | a coin has fallen between them
        front door | the lock turns but nothing opens | a screw has come loose
        garage door | it stops halfway | the chain needs oil
        television | there is sound but no picture | a cable has been chewed by a pet
        roof | water comes in when the wind blows from the west | {few} tiles are broken
        lift | it does not stop on the third floor | a switch is worn out
        """,
    }, {"A": "Technician"}),
    Scene("decision", """
A: [Which one do you like better|What do you think|Help me, {B.call}], {one} or {two}?
B: [For what?|Hm.|What is it for?]
A: [For {purpose}.|It is for {purpose}.]
= {A} asks {B} to help {A.her} choose between {one} and {two} for {purpose.A}.
--
B: {one.Cap}. [It is simpler.|It goes with everything.|It will last longer.|It is less work.|Everybody likes that.]
A: [That is what I thought.|Good, I will take that.|Then it is settled.]
= {B} is for {one}, and {A} agrees.
?
B: {two.Cap}, [no question|definitely|I think]. 
A: [But it costs more.|Are you sure?|Is it not too much?]
B: [You only live once.|Trust me.|It is worth it.]
= {B} recommends {two}.
?
B: [Neither.|Honestly, neither.|To be honest, I like neither.] [Keep looking.|Ask {helper}.|Wait until the sales.]
A: [You are no help!|Maybe you are right.|All right, I will keep looking.]
= {B} likes neither.
""", {
        "helper": "your sister; Helen; somebody who knows; your mother",
        "one, two, purpose": """
        the blue dress | the grey suit | my cousin's wedding
        tiles | wood | the kitchen floor
        a dog | a cat | the children
        the morning course | the evening course | learning Italian
        the train | the car | the trip to {town}
        the small flat | the house with the garden | the next few years
        roses | sunflowers | the bed by the door
        chicken | fish | the dinner on {day}
        a long letter | a short call | saying sorry to my aunt
        the yellow paint | the green paint | the bathroom
        a tent | a caravan | our holiday in {country}
        the guitar | the flute | my son's first lessons
        chocolate cake | cheesecake | the party
        the window seat | the aisle seat | the long flight
        """,
    }),
)
