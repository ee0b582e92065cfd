"""Scenes of more than two, and of talk about what happened. Knows only how scenes are written."""

from __future__ import annotations

from nano.scenes import Scene

SCENES = (
    Scene("trip of three", """
A: [So|All right], who is coming to {town} {when}?
B: I am[!|, if we leave after {time}.]
C: [Me too|I would like to], but [how do we get there|who drives|who can drive]?
= {A}, {B} and {C} plan a trip to {town} {when}.
--
A: [I can drive.|We could take my car.|I can ask for my mother's car.] There is room for {few}.
C: [Then I will pay for the petrol.|Good, I get sick on buses.|Great, then I will bring the food.]
= {A} will drive.
?
B: [Let us take the train.|There is a bus at {time}.|We could cycle!] It is [cheaper|healthier|more fun].
A: [Fine by me.|I agree.|Good, then nobody has to stay sober.]
C: [All right, two against one.|I agree.|I will look up the times.]
= {B} suggests [another way of travelling|how to travel], and the others agree.
--
C: And where do we sleep?
B: [My aunt has a big house there.|I have found a cheap hostel.|We come back the same night.|I have a tent for {few}.]
=
?
A: [Who brings|Who takes care of] the {thing}?
C: I [will|can]. [No problem.|I still have some from last time.]
= {C} will bring the {thing}.
?
B: I have to be back by {time} on {day}.
A: [That is no problem.|We will manage.|Then we should not leave too late.]
= {B} has to be back by {time} on {day}.
""", {"thing": "music; food; map; tent; first-aid kit; drinks; football; cards; camera; sun cream"}),
    Scene("surprise party", """
A: [Psst|Listen], it is {D}'s [birthday|farewell|anniversary] {when}. [Let us plan a surprise party|We should do something special].
B: [Great idea!|I am in.] Where?
A: [At my place.|In the community centre.|In {C.call}'s garden, if that is all right.]
C: [Fine.|I can bake a cake.|I will take care of the music.|I will make sure nobody finds out.]
= {A}, {B} and {C} plan a surprise party for {D.A} {when}.
--
B: How many people [are coming|shall we invite]?
A: About {many}. [Everybody from the choir and a few neighbours.|Mostly family.|The whole class.]
= About {many} guests [are to come|will be invited].
?
C: What about a present?
B: [Let us all give {price} and buy {present}.|How about {present}?]
A: [Perfect.|That is a nice idea.]
= [As a present they choose {present}.|They want to give {present}.]
--
A: And [not a word|keep it secret]!
B: [My lips are sealed.|Of course.|Do you know me?]
=
?
C: What if [it rains|nobody is at home|somebody tells]?
A: [Then we go inside.|Then we think of something.|That will not happen.]
=
""", {"D": "Mrs Palmer; Thomas; Julia; our coach; Grandpa; Nina; the teacher; Omar; our neighbour; Uncle Frank",
      "present": "a hammock; a trip to the sea; a new bicycle; a fountain pen; a balloon flight; a set of knives; a day at the spa; an apple tree"}),
    Scene("trip report", """
A: {B.call}! How was your [trip to|holiday in|week in] {country}?
B: [Wonderful!|Exhausting, but great.|Not what I expected.|Far too short.] We {did}.
= {B} tells {A} about {B.hers} trip to {country}.
--
A: And [the weather|how was the weather]?
B: {weather}
= {weather_told}
?
A: [What did you like best|What was the best part]?
B: {best.I.Cap}.
= The best part for {B.her} was {best}.
?
A: [Did anything go wrong|Any adventures|No disasters this time]?
B: {mishap.I.Cap}.
A: [No!|Oh dear!|Really?] [And then?|How did you manage?]
B: [People were very helpful.|We laughed about it in the end.|It took us {minutes} to sort it out.]
= On the way {mishap.B}.
--
A: [~Would you go again?|Do you have photos?|I should go there too.]
B: [~At once.|Hundreds. Come over {when}.|Yes, but not in August.]
=
""", {
        "did": "rented a car and drove along the coast; stayed in a tiny village; walked {many} kilometres a day; visited {few} old cities; slept in a lighthouse",
        "weather, weather_told": """
        It rained for {few} days. | It rained for {few} days.
        Sunshine from morning to evening. | The weather was fine all the time.
        Far too hot to do anything. | It was too hot.
        It even snowed! | It even snowed.
        Windy, but we did not mind. | It was windy.
        """,
        "best": """the food at the harbour; the people in the villages; the silence in the mountains; the boat trip; the night market; the old library;
        the view from the tower; the swim before breakfast""",
        "mishap": """I lost my passport; we missed the last ferry; somebody took my bag by mistake; the car broke down in the middle of nowhere;
        our room was given to somebody else; I fell into a river; we got on the wrong train""",
    }),
    Scene("opinion", """
A: [Have you heard of|Do you know] {work}, {B.call}?
B: Yes, [I do|of course]. [~Why?|Why do you ask?|Don't you?]
A: [~Everybody talks about it.|I am curious.|Not yet.] What [did|do] you think?
= {A} asks {B} [what {B.she} thinks of|for {B.hers} opinion on] {work}.
--
B: I [loved|really liked|enjoyed] it. {praise}
A: [Then I have to see for myself.|I thought so too.|Good to know.]
= {B} liked it: {praise}
?
B: [Honestly, I was bored.|I was disappointed.|It is not for me.] {fault}
A: [That is a pity.|I had a feeling.|Really? I quite liked it.]
= {B} did not like it: {fault}
?
B: [It is all right.|Half and half.|I am not sure.] {praise} [On the other hand:|Then again:] {fault}
A: [So, yes or no?|I see. Yes or no?]
B: [Decide for yourself.|Yes, but lower your hopes.|Rather no.]
= {B} has mixed feelings about it.
""", {
        "work": """the new film about the lighthouse keeper; "The Long Way Home"; the play at the town theatre; the series about the detective with the dog;
        the exhibition of glass art; the new album of the brass band; "A Summer of Salt"; the documentary about whales; the musical about the circus;
        the book by the astronaut; the comedy at the old cinema; the podcast about lost cities; "Seven Winters"; the opera by the lake""",
        "praise": """The story is simple, but it moves you.; The main actress is brilliant.; I laughed from beginning to end.; It is beautifully made.;
        I could not stop until I knew the end.; You learn a lot without noticing.; The music alone is worth it.""",
        "fault": """The end makes no sense.; It is at least half an hour too long.; Nothing happens for the first hour.; The jokes are old.;
        I could not tell the people apart.; It is much too sad for me.; They repeat everything three times.""",
    }),
    Scene("accident", """
A: {B.call}, [what happened to you|what on earth happened|you look terrible! What happened]?
B: {how.I.Cap} [yesterday|on {day}|last weekend|this morning].
A: {sorry} [Does it hurt?|Did you see a doctor?|How did that happen?]
= {B} tells {A} that {how.B}.
--
B: [It looks worse than it is.|Only when I laugh.|Not much.] [The doctor says it takes {days}.|I must not move it for {days}.]
A: [Can I do anything for you?|Do you need help with the shopping?|Tell me if you need something.]
B: [That is sweet of you.|You could carry this bag.|Yes, you could drive me home.]
= It is not serious, and {A} offers {A.hers} help.
?
B: [I spent {few} hours at the hospital.|They put in {few} stitches.] And the worst is that {worst.I}.
A: [Poor you.|What bad luck!|You will have to be patient.]
= {B.she.Cap} is unhappy because {worst.B}.
""", {
        "how": """I fell off my bicycle; I slipped on the ice; I walked into a glass door; a dog knocked me over; I fell down the cellar stairs;
        I burned myself on the oven; I hit my thumb with a hammer; a ball hit me in the face; I stepped on a nail; I tripped over the cat""",
        "worst": """I _cannot play in the final; I _have to cancel my holiday; I _cannot drive; we wanted to go dancing; I _am missing a week of school;
        nobody can milk the goats""",
    }),
    Scene("moving", """
A: [So this is|Welcome to] the flat. {rooms.Cap} rooms, {feature}.
B: [It is lovely.|It is brighter than I thought.|Hm, rather small.] How much is the rent?
A: {rent} a month, [with|without] heating. It is free from the first of {month}.
= {B} looks at a flat with {rooms} rooms, which costs {rent} a month.
--
B: [Are pets allowed|May I keep a cat|Can I paint the walls]?
A: [Yes, no problem.|I am afraid not.|We can talk about that.]
B: [Good.|I see.|That is important to me.]
=
?
B: How are the neighbours?
A: [Very quiet, mostly older people.|A young family below and a music teacher above.|Friendly. They have a party in the yard every summer.]
= {B.she.Cap} also asks about the neighbours.
--
B: [I will take it.|I would like to have it.] When can I sign?
A: {when.Cap}, if you like.
= {B.she.Cap} wants to take it.
?
B: I [need|would like] to think about it. [Can I call you {when}?|I have two more to see.]
A: [Of course|Yes], but [do not wait too long|others are interested too].
= {B.she.Cap} wants to think about it.
""", {
        "rooms": "two; three; four; five", "feature": "a balcony to the south; a new kitchen; high ceilings; a view of the park; a bath and a shower; wooden floors",
        "rent": "{rent_n} [euros|dollars|pounds]", "rent_n": "450; 520; 600; 680; 740; 850; 900; 1,100; 1,250; 1,400",
        "month": "March; May; June; August; October; December",
    }, strangers=True),
    Scene("hobby", """
A: [I hear you have started {hobby.ing}, {B.call}.|Is it true that you have started {hobby.ing}, {B.call}?|Somebody told me you have started {hobby.ing}, {B.call}. Is that true?]
B: Yes, [{few} months ago|last {season}|a year ago]. {why.I.Cap}.
= {B} tells {A} that {B.she} has started {hobby.ing} because {why.B}.
--
A: [Is it difficult|Is it hard to learn]?
B: [At the beginning, yes.|Not if you practise every day.|My hands hurt, but I love it.]
A: [I could never do that.|Maybe I should try it.|I admire that.]
=
?
A: [How often do you do it?|How much time does it take?]
B: [Twice a week.|Every Sunday.|About {minutes} a day.] [You should come along.|Why don't you join me?]
A: [I would love to.|I am too lazy for that.|Let me think about it.]
= {B} invites {A} to come along.
?
A: [~Isn't it expensive|What does it cost|And what does your family say|What do your friends say]?
B: [~No, less than you think.|Less than you think.|They are proud of me.|They think I am mad.]
=
""", {
        "hobby": """play the [cello|drums|accordion|banjo]; learn [Portuguese|sign language|Chinese]; keep bees; make cheese; restore old furniture;
        sing in a choir; write poems; climb; collect stamps; row; bake bread; paint with oils; sew clothes; do yoga; dance the tango;
        watch birds; build model ships; grow tomatoes; swim in cold water; brew beer; practise judo""",
        "why": """I _need something to relax; my doctor told me to; my [grandfather|mother|neighbour] taught me; I _have more time now; a friend took me along;
        I always wanted to; I saw it on television; I was bored at home""",
        "season": "spring; summer; autumn; winter",
    }),
    Scene("message", """
A: Hello, [could I|can I|may I] speak to {D}, please?
B: [I am sorry|Sorry], {D} is [out|not at home|in a meeting|on holiday]. [Can I take a message?|Would you like to leave a message?]
A: Yes, please. This is {A.call} {surname}. {message.Cap}.
= {A} calls for {D.A}, but {B} says that nobody else is there. {A} leaves a message: {message}.
--
B: [Let me write that down.|One moment, I need a pen.] {surname}, was it? [How do you spell that?|And your number?]
A: [It is 0{few_n}{few_m}, then {few_m}7{few_n}.|Exactly as you hear it.|Just say {A.call}, that is enough.]
B: [Thank you|All right], I will pass it on.
= {B} [promises to pass it on|will pass it on].
?
B: [Could you call again at {time}?|It would be better to call again {when}.]
A: [Yes, I can do that.|I would rather leave the message.]
B: [Good.|Fine, I will tell everybody.]
= {B} asks {A.her} to call again.
""", {
        "D": "Mr Gray; Helen; Mrs Novak; Robert; your mother; the manager; Doctor Quinn; Miss Archer; Stefan",
        "message": """the rehearsal starts at {time}; the car is ready; the meeting {when} has been moved; the plums are ripe and have to be picked; the test results are fine;
        we need the keys back by {day}; the tickets are at the box office; the class {when} is cancelled; the baby has arrived""",
        "few_n": "42; 57; 63; 81; 29", "few_m": "18; 36; 74; 90; 55",
    }, strangers=True),
)
