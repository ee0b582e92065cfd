"""Scenes of home and friends: plans, favours, family, food, neighbours, pets. Knows only how scenes are written."""

from __future__ import annotations

from nano.scenes import Scene

SCENES = (
    Scene("invitation", """
A: [Hi|Hello|Hey] {B.call}, [are you free|do you have time|have you got plans] {on}?
B: [I think so.|Let me think.|Not sure yet.|Maybe.] [Why?|What is up?|Why do you ask?|What do you have in mind?]
A: {C_who} [want to|are going to|are planning to] {activity}. [Would you like to come?|Do you want to join us?|Come with us!]
= {A} invites {B} to {activity.A} {on}.
?
A: {B.call}, [shall we|why don't we|could we] {activity} {on}?
B: [Oh?|Really?|Hm.|That is an idea.] [What made you think of that?|Why not? Tell me more.|What brings you to that?]
A: [I have wanted to do it for weeks.|I need to get out of the house.|It is more fun with you.|We have not done anything together for ages.]
= {A} suggests to {B} that they {activity.A} {on}.
--
B: [I would love to|Count me in|Great idea|Yes, gladly]! [What time|When exactly] and where?
A: [Let us meet|We meet|Shall we say] {spot} at {time}[.|, if that suits you.]
B: [{glad}|{glad} I will be there.|{glad} I will bring {bring}.]
= [They will meet at {time}.|{B} [gladly agrees|accepts], and they will meet at {time}.|{B} wants to come. They agree to meet at {time}.]
?
B: [I would love to, but|I am afraid I can't,|Sorry, I can't.|That is a pity,] {busy.I}.
A: [{sorry}|That is a shame.|Can't you change that?] [Another time, then.|Maybe next time?|Then we will miss you.]
B: [Yes, please ask me again.|Definitely next time.|Have fun without me!|Let us do it next week instead.]
= [{B} cannot come because {busy.B}.|{B} turns the invitation down, since {busy.B}.|But {B} says {busy.B}.]
?
B: [Hm,|Well,|To be honest,] {busy.I}. [Could we do it|Would it work] {when2} instead?
A: [Let me check.|One moment.] Yes, that [works|is fine|suits me] too. {when2.Cap} at {time}, then.
B: {glad} {bye}
= [{B} cannot at that time because {busy.B}, so they agree on {when2} at {time}.|They move it to {when2} at {time}, because {busy.B}.]
""", {
        "activity": """watch the new [spy|animated|science fiction] film; go hiking in the hills; play tennis; go bowling; visit the
        [science|modern art|railway|maritime] museum; have a picnic by the lake; go to the jazz concert in the park; go swimming; play cards;
        cook dinner together; go ice skating; try the new [Thai|Greek|Korean|Mexican|Ethiopian] restaurant; ride our bikes along the river;
        watch the football match; go to the flea market; bake [bread|biscuits|a cake]; go to the theatre; play board games; go fishing;
        visit the botanical garden; go climbing; see the fireworks; go camping; paint pottery; go to the book fair; play table tennis;
        go for a walk in the woods; have a barbecue; go rowing; pick strawberries; visit the Christmas market; fly kites on the beach;
        go to the zoo; listen to the school choir; watch the stars from the hill; go mushroom picking; do a jigsaw puzzle; go dancing""",
        "C_who": """[Peter|Julia|Marco|Some friends|A few colleagues|My sister|My cousins] and I; Some of us; A few of us; We""",
        "when2": "on Sunday; the week after; on [Monday|Tuesday|Thursday]; on the weekend after; the day after; in two weeks",
        "bring": "a cake; some drinks; my camera; sandwiches; my guitar; a blanket; the snacks; a friend; an umbrella, just in case",
    }),
    Scene("favour", """
A: {B.call}, [could|can|may] I ask you a favour?
B: [Of course.|Sure.|It depends.|Go on.] What [is it|do you need|can I do]?
A: [Could you|Would you be able to|Can you] {task} {when}? {why.I.Cap}.
= {A} asks {B} to {task.A} {when} because {why.A}.
?
A: {B.call}, I [have a small problem|need your help]. {why.I.Cap}[, and so I|. So I] need [somebody|someone] to {task} {when}.
B: And you [thought of me|are asking me|mean me]?
A: Yes, [if you do not mind|if it is not too much trouble|you are the only one I trust with it].
= {A} needs {B} to {task.A} {when}, because {why.A}.
--
B: [No problem|With pleasure|Consider it done|Sure, I can do that]. [Anything I should know?|Is there anything special?|]
A: [Not really.|Just {detail}.|Only one thing: {detail}.] {thanks}
B: {welcome}
= [{B} [agrees|is happy to help].|{B} says yes.]
?
B: [Sorry,|I would, but|I wish I could, but] {busy.I}. [Have you asked Peter?|Have you asked Laura?|Maybe your brother can?|Maybe Omar has time?]
A: [Good idea.|Not yet, but I will.|I will ask.] Thanks anyway.
= {B} cannot do it because {busy.B}.
?
B: [I can|I could|All right], but only [in the morning|after six|if I get your key today|for half an hour|if you help me with my garden afterwards].
A: [That is fine.|That is more than enough.|Deal!] {thanks}
= {B} agrees [on one condition|with one condition].
""", {
        "task, detail, why": """
        water my plants | the one in the bathroom needs very little | I _am going to {country} for {duration}
        feed my [cat|rabbit|goldfish|parrot] | the food is under the sink | I _have to visit my mother in hospital
        pick up my [son|daughter|children] from [school|kindergarten|football practice] | bring a warm jacket | my meeting ends late
        lend me your [drill|ladder|suitcase|tent|projector] | I will bring it back on Sunday | mine is broken
        look after my dog | he does not like cyclists | I _have to go to a wedding
        give me a lift to the [airport|station|hospital] | the suitcase is rather big | there are no trains that day
        read through my [application|essay|speech] | the second page is the difficult one | I _am not sure about the grammar
        help me move the [piano|wardrobe|fridge|sofa] | the stairs are narrow | I cannot lift it alone
        take in my post | the letter box sticks a little | I _am away for {duration}
        sign for a delivery | it is only a small box | nobody is at home that day
        explain the homework to my [son|daughter] | fractions are the problem | I never understood mathematics
        swap shifts with me | it is the early one | my [sister|cousin] is getting married
        translate a letter for me | it is only one page | it is in [Spanish|German|Polish] and I _do not speak it
        babysit [the twins|my little boy|our daughter] | bedtime is at eight | we _have tickets for the opera
        fix my [bicycle|lamp|gate|shelf] | I have all the tools | I _have two left hands
        mow our lawn | the mower needs petrol | my knee still hurts
        return these books to the library | they are due on Friday | I _am stuck at home with the flu
        record the [match|quiz show|film] for me | it starts at eight | our television stopped working
        """,
    }),
    Scene("news", """
A: [Guess what|You won't believe it|I have news], {B.call}! I {news.I}[!|.]
= {A} tells {B} that {A.she} {news.A}.
?
B: [You look [happy|excited|cheerful] today, {A.call}. What happened?|Why are you smiling, {A.call}?]
A: I {news.I}[!|, just this morning!|. I can hardly believe it.]
= {A} tells {B} that {A.she} {news.A}.
--
B: [Congratulations!|That is wonderful news!|Wow, I am so happy for you.|Really? Well done!] {ask}
A: {answer}
= {told.A.Cap}
--
B: [We should celebrate|This calls for a celebration|Let us celebrate that]. [Dinner at my place|I will make {meal}|Let me invite you to dinner] {on}?
A: [I would like that.|What a nice idea.|Yes, please!]
= [They will celebrate {on}.|{B} wants to celebrate with {A.her} {on}.]
?
B: [I am not surprised, you worked hard for it.|You deserve it.|I knew it would work out.] [~Have you told your parents?|Who else knows?|What do your parents say?]
A: [~Not yet.|Only you so far.|They cried.]
= 
?
B: [~I am a bit jealous|I wish I were you], [to be honest|I must say].
A: [~Don't be. There is a lot of work ahead.|Your turn will come.]
=
""", {
        "news, ask, answer, told": """
        passed my driving test | Was it difficult? | Parking was, but I managed on the second try. | Parking was difficult, but I managed.
        got the job at the [museum|hospital|bank|garden centre] | When do you start? | On the first of next month. | I _start on the first of next month.
        _am going to be an aunt | When is the baby due? | In [May|June|October]. It is my sister's first. | My sister's baby is due soon.
        won {many} hundred euros in the lottery | What will you do with it? | I want to buy a new [bicycle|oven|bed]. | I _plan to buy something for the house.
        found a flat in {town} | Is it big? | It has {few} rooms and a small balcony. | The flat has {few} rooms and a balcony.
        was accepted at the university in {town} | What will you study? | [Biology|Law|History|Engineering|Medicine]. | I _am looking forward to my studies.
        finished my first marathon | How long did it take? | Four hours and {many} minutes. | It took me more than four hours.
        sold my first painting | Who bought it? | An old gentleman from {town}. | An old gentleman from {town} bought it.
        got engaged | How did it happen? | On a boat, in the rain, in {country}. | It happened on a boat in {country}.
        got a puppy | What is its name? | [Biscuit|Coco|Rocky|Luna]. It is {few} months old. | The puppy is {few} months old.
        got promoted | What changes for you? | I will lead a team of {few} people. | I will lead a team of {few} people.
        _am moving to {country} | When are you leaving? | In {few} months, as soon as my visa is ready. | I _leave in {few} months.
        gave up smoking | How long ago? | {few.Cap} weeks ago, and I feel much better. | I stopped {few} weeks ago and _feel much better.
        published a short story | Where can I read it? | In the [spring|autumn] number of the town magazine. | The story is in the town magazine.
        """,
    }),
    Scene("cooking", """
A: What [shall|should|do] we [cook|eat|have] {when}, {B.call}?
B: [How about|What about|I feel like|I would love] {meal}?
= {A} and {B} [talk about|discuss] what to cook {when}.
?
A: {B.call}, [the guests|my parents|the children|the neighbours] are coming for dinner {when}. What can we [make|cook]?
B: [Let us make|We could make|I suggest] {meal}.
= {A} and {B} discuss what to cook for their guests {when}.
--
A: [Good idea.|Fine by me.|Why not?] Do we have [everything|all we need]?
B: [Almost.|Not quite.|Let me look in the fridge.] We [need|are out of|are missing] {food} and {food2}.
A: [I will get them on the way home.|I can stop at the shop after work.|Then I will go to the market.]
= [They decide on {meal}, and {A} will buy {food} and {food2}.|{A} will buy {food} and {food2} for {meal}.]
?
A: Not again! We had that [yesterday|on {day}|twice last week]. What about {meal2}?
B: [All right|Fine|If you insist], but then you [do the dishes|go shopping|peel the potatoes|set the table].
A: [Deal.|Agreed.|That is fair.]
= [{B} suggests {meal}, but {A} prefers {meal2}.|They choose {meal2} instead of {meal}.]
?
A: I [cannot eat that|should not eat that]: {diet.I}.
B: [I forgot!|Oh, right.] Then {meal2}?
A: [Yes, that is fine.|Perfect.|That works.]
= {A} cannot eat {meal} because {diet.A}, so they choose {meal2}.
""", {
        "diet": "I _am allergic to nuts; I _am a vegetarian now; my doctor told me to avoid salt; I _have a stomach ache; I _do not eat seafood",
        "food2": "parsley; pepper; fresh basil; mustard; red lentils; ginger; paprika; cinnamon; raisins; sour cream; sesame; cabbage; leeks",
        "meal2": "soup; vegetable stew; baked potatoes; spaghetti; a bean salad; toast with cheese; fried eggs; tomato tart; rice pudding",
    }),
    Scene("chores", """
A: {B.call}, have you {chore_done.you}[| yet]?
B: [Not yet.|No, sorry.|Was that today?|I was going to.] {excuse.I.Cap}.
= {A} asks {B} whether {B.she} has {chore_done.B}, but {B.she} has not, because {excuse.B}.
--
A: You [said|promised] that [this morning|yesterday] too. Please do it [now|before dinner|before you go out|today].
B: [Okay, okay.|All right, I am going.|Fine.|Can I finish this page first?]
A: [Thank you.|And no phone until it is done.|I will check in {minutes}.]
= [{A} wants it done today.|{B} promises to do it now.]
?
A: [Let us make a deal.|I have an idea.] You do that, and I will {other}.
B: [Deal!|That sounds fair.|Now you are talking.]
= [They make a deal: {A} will {other.A} in return.|{A} offers to {other.A} in return, and {B} agrees.]
?
A: [I can help you|We can do it together], it only takes {minutes}.
B: [Really? Thanks.|That would be great.|Okay, let us start.]
= {A} offers to help.
""", {
        "chore_done": """taken out the rubbish; cleaned my room; done the dishes; fed the rabbit; hung up the washing; watered the tomatoes;
        made my bed; swept the yard; folded the laundry; vacuumed the living room; walked the dog; written the letter to Grandma;
        emptied the dishwasher; put away my bicycle; cleaned the bathroom; called my grandmother; returned the neighbour's ladder""",
        "excuse": """I had too much homework; I _am still on the phone; I fell asleep after lunch; I was at football practice; it was raining;
        the vacuum cleaner is broken; I had a headache; my friends came round; I wanted to finish my book first; I could not find the key""",
        "other": """make pancakes; drive you to the cinema; help you with your essay; cook your favourite dinner; do the shopping; let you choose the film;
        wash the car; play chess with you""",
    }),
    Scene("neighbour", """
A: [Good evening|Hello|Excuse me], [I live next door|I am your neighbour from {floor}]. My name is {A.call}.
B: [Nice to meet you|Hello], I am {B.call}. [~Is anything wrong?|What can I do for you?]
A: [~Actually, yes.|Well, it is like this:] {trouble.I.Cap}.
= {A} complains to {A.hers} neighbour {B} because {trouble.A}.
--
B: I am [so|very|really] sorry. [I did not know.|I had no idea.|I did not realise that.] I will {remedy}.
A: Thank you, that would [help|be great|be enough].
= {B} apologises and promises to {remedy.B}.
?
B: [Are you sure it is me?|That cannot be me.] I was [at work|away|asleep] [all day|at that time].
A: Oh. Then it must be [the family upstairs|somebody else in the house|the people on the ground floor]. [Sorry!|I am sorry to have bothered you.]
B: [No problem.|It is all right.] Good luck.
= {B} says it was not {B.her}, and {A} apologises.
""", {
        "floor": "the second floor; the third floor; the flat below; number [twelve|nine|four]; across the hall",
        "trouble, remedy": """
        your music keeps me awake at night | turn it down after ten
        your dog barks all day and I cannot work | take it to my mother's during the day
        water is dripping from your balcony | move the flower pots
        your car is blocking my garage | park it in the street at once
        your bicycle is standing in front of my door | put it in the cellar
        smoke from your barbecue comes into my bedroom | move the grill to the other side
        your cat sleeps in my flower bed | keep an eye on her
        your parcel has been in my hall for a week | come and get it tonight
        your children ring my bell every afternoon | talk to them
        your tree drops its leaves into my garden | cut the branches on Saturday
        your washing machine runs at midnight | wash in the mornings from now on
        """,
    }, strangers=True),
    Scene("pet", """
A: [I think|I fear] something is wrong with my {pet}, {B.call}. [She|He] {sign}.
B: {sorry} [How long has this been going on?|Since when?|When did it start?]
A: Since [yesterday|{day}|this morning|last week].
= {A} is worried because {A.hers} {pet} {sign}.
--
B: [You should|I would|Better] [go to the vet|take it to the vet|call the animal clinic]. [Mine is in {street}.|I can drive you.|They are open until {time}.]
A: [You are right.|I will call right away.|Thank you, I will do that.]
= {B} advises {A} to see a vet.
?
B: Mine [had that too|did the same last year]. It was [only the food. Try another brand.|the heat. Give it plenty of water.|nothing serious. Wait a day or two.]
A: [I hope you are right.|Good to know.|That calms me down a little.]
= {B} thinks it is nothing serious[.|, because the same happened to {B.hers} pet.]
""", {
        "pet": "cat; dog; rabbit; hamster; parrot; guinea pig; old tomcat; puppy; tortoise; canary",
        "sign": """has not eaten anything; sleeps all day; keeps scratching; is limping; hides under the bed; drinks far too much water; has red eyes;
        is losing hair; sneezes all the time; makes strange noises at night""",
        "street": "Mill Lane; Garden Street; Oak Avenue; Harbour Street; Castle Street; Hill Street",
    }),
    Scene("gift", """
A: [It is|Don't forget, it is] {kin}'s birthday {when}. [Any ideas for a present?|What can I give as a present?|I still need a present.]
B: [Any hobbies I should know of?|What are the hobbies?|What would be welcome?]
A: {hobby.Cap}[.|, mostly.|, I would say.]
= {A} is looking for a birthday present for {kin.A}, who likes {hobby}.
?
A: {B.call}, I have no idea what to [give|get|buy] {kin} for [Christmas|the wedding|the birthday|the anniversary].
B: [Any hobbies?|What are the hobbies?|Tell me a bit more.]
A: {hobby.Cap}, [mostly|above all|and nothing else].
= {A} needs a gift for {kin.A}, who likes {hobby}.
--
B: [Then how about|What about|I would buy|Why not get] {present}?
A: [That is a great idea!|Why did I not think of that?|Perfect, and not too expensive.]
= [{B} suggests {present}[, and {A} likes the idea|].|They settle on {present}.]
?
B: [Maybe|Perhaps] {present}?
A: [I gave that last year.|That is too expensive.|There are already {few} of them in the house.]
B: Then [a voucher|a good bottle of wine|flowers|a home-made cake|a box of chocolates] [would be right|will do].
A: [You are right.|Good, simple and easy.]
= {B} suggests {present}, but {A} [decides on|prefers] something simpler.
""", {
        "hobby, present": """
        gardening | [a set of good tools|a lemon tree|seeds of old vegetables]
        cooking | [a cast-iron pan|a cookbook about {country}|a sharp knife]
        reading | [a crime novel|a subscription to the library|a reading lamp]
        music | [tickets for a concert|a record player|a pair of good headphones]
        hiking | [a warm hat|a map of the mountains|a light rucksack]
        painting | [a box of oil paints|an easel|a course of watercolours]
        football | [a scarf of the home team|tickets for the cup final]
        chess | [a wooden chess set|a book of famous games]
        travelling | [a neck pillow|a guide to {country}|a small suitcase]
        photography | [a photo album|a tripod]
        baking | [a mixing bowl|a set of cake tins]
        birds | [a bird house|a pair of binoculars]
        """,
    }),
)
