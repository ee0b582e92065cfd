"""Scenes about town: bank, library, taxi, school, cars, computers, sport. Knows only how scenes are written."""

from __future__ import annotations

from nano.scenes import Scene

SCENES = (
    Scene("bank", """
A: [Good morning|Good afternoon]. [What can I do for you?|How may I help you?]
B: I would like to {wish}[, please.|.]
A: [Certainly.|No problem.] [May I see your passport?|Do you have any identification?|Could I see your identity card?]
= {B} goes to the bank to {wish.B}.
--
B: [Here it is.|Yes, here you are.] [~How long will it take?|Is there a fee?|Do I need to sign anything?]
A: [~It takes {minutes}.|Only a small one.|Yes, here and here.]
= The clerk asks for proof of who {B.she} is.
?
B: Oh no, I [left it at home|have forgotten it|only have a copy].
A: Then I [cannot do it today|am afraid you have to come back]. We are open until {office}.
B: [I will be back in an hour.|I live close by, I will get it.|Tomorrow, then.]
= {B.she.Cap} has forgotten {B.hers} papers and has to come back.
""", {"wish": """open an account; change some money into Norwegian crowns; pay in {many} hundred pounds; report a lost card; take out a loan for a car;
        close my old account; rent a safe; send money to my [son|daughter|brother] in {country}; change my address"""}, {"A": "Clerk"}),
    Scene("library", """
A: [Excuse me|Hello], [do you have|where can I find] a book about {topic}?
B: [Let me check.|One moment, please.] [We have {few} of them.|Yes, on the {floor} floor, on the left.|There is a new one, by {author}.]
= {A} asks the librarian {B} for a book about {topic}.
--
A: [Can I take it home|May I borrow it]? 
B: [Yes, for {duration}.|If you have a card, yes.|Not this one, but you can read it here.]
A: [~How do I get a card?|And if I need it longer?|Can I copy a few pages?]
B: [~You fill in this form, it takes {minutes}.|Just give us a call.|Yes, the copier is by the stairs.]
=
?
A: [I have read that one.|Is there anything easier?] [It is for my {age}-year-old daughter.|It is for a talk at school.]
B: [Then I would recommend {author}.|Look on the shelf by the window.]
A: {thanks}
= {B} recommends another one.
""", {"topic": "the moon; beekeeping; old castles; the history of {town}; sharks; knots; the Vikings; first aid; trains; cooking without meat; learning to draw; dinosaurs",
      "author": "Ruth Archer; J. Hansen; Maria Costa; Owen Blake; the professor from {town}", "floor": "first; second; ground; third", "age": "seven; nine; eleven; twelve"}, strangers=True),
    Scene("taxi", """
A: [Where to?|Where would you like to go?|Good evening. Where can I take you?]
B: To {goal}, please. [I have to be there at {time}.|As fast as you can.|I am already late.]
= {B} takes a taxi to {goal}.
--
A: [That will be difficult.|I will do my best.] {jam.Cap}.
B: [Is there another way?|Can we go round it?]
A: [Yes, along the river. It is longer, but faster.|Not really. It takes {minutes} at least.]
= The driver says that {jam}.
?
A: [Are you on holiday here?|Is it your first time in {town}?]
B: [No, I am here for {purpose}.|Yes, I came for {purpose}.]
A: [Then you must see the castle.|How nice.|I hope it goes well.]
= {B.she.Cap} is in town for {purpose}.
--
A: Here we are. That is {price}.
B: [Here you are. Keep the change.|Can I have a receipt?|Do you take cards?]
= The ride costs {price}.
?
B: Please stop here. [I will walk the rest.|I can see my sister over there.]
A: [As you like.|All right.] That makes {price}.
= {B.she.Cap} gets out early and pays {price}.
""", {"goal": "the airport; the main station; the opera; the Hotel Central; the hospital; the trade fair; the football stadium; Mill Lane",
      "jam": "there is a demonstration in the centre; the bridge is closed; a lorry has lost its load; the marathon is today; the tunnel is full of water",
      "purpose": "a conference; a wedding; a job interview; a concert; my grandson's birthday; a trade fair"}, {"A": "Driver"}),
    Scene("teacher", """
A: Thank you for coming, [Mr|Mrs] {surname}. I wanted to talk about {child}.
B: [Is anything wrong?|What has happened?|I hope it is nothing bad.]
A: {matter.Cap}.
= {A}, a teacher, talks with a parent about {child}: {matter}.
--
B: [I did not know that.|That is new to me.|At home it is the same.] [What can we do?|What do you suggest?]
A: [I suggest|I would recommend|It would help] {step}.
B: [We will try that.|That sounds sensible.|I will talk about it at home.]
= {A} recommends {step}.
?
B: [That may be because|I think it is because] {cause}.
A: [I see.|That explains a lot.|Thank you for telling me.] [Let us talk again in {few} weeks.|I will keep an eye on it.]
= The parent thinks it is because {cause.B}.
""", {"child": "Tim; Lena; Paul; Nora; Max; Ida; Felix; Greta; Theo; Mia",
      "matter": """the marks in mathematics are getting worse; there have been tears in every break; the homework is hardly ever done; the homework is copied from others;
        there was a fight in the playground; the seat is empty every Monday morning; the others get no word in""",
      "step": "an hour of practice a day; a talk with the school nurse; a place by the window; going to bed earlier; a tutor; joining the school choir",
      "cause": "we have moved house; there is a new baby; the old cat died; we have little time; I am away so often"}, strangers=True),
    Scene("apology", """
A: {B.call}, I [want to|would like to|have to] apologise. {deed.I.Cap}.
B: [Yes, I noticed.|So it was you!|I was wondering about that.|I know.]
= {A} apologises to {B} because {deed.A}.
--
A: I am really sorry. [Can I make up for it?|How can I make it right?|I will {amends}.]
B: [Forget it.|It is all right.|Do not worry about it.] [It can happen to anyone.|At least you told me.|I have done worse.]
= {B} forgives {A.her}.
?
A: I [did not mean to|did not do it on purpose]. {reason.I.Cap}.
B: [That is no excuse.|You say that every time.|I am still angry.]
A: [I understand.|You are right.] I will {amends}.
= {B} is still angry, and {A} wants to {amends.A}.
?
A: [Let me|Allow me to] {amends}.
B: [That would be nice.|All right, then we are even.|You do not have to, but thank you.]
= {A} offers to {amends.A}, and {B} accepts.
""", {"deed, amends": """
        I broke your blue vase | buy you a new one
        I forgot your birthday | invite you to dinner
        I told everybody your secret | never do that again
        I spilt coffee on your book | get you another copy
        I scratched your car | pay for the repair
        I did not come to your concert | come to the next one
        I ate your lunch | cook for you
        I shouted at you yesterday | stay calm in future
        I lost your umbrella | give you mine
        I overslept and you had to wait | be early next time
        I let the cat out | look for her until I find her
        I laughed at your drawing | hang it on my wall
        """, "reason": "I was tired; I was in a hurry; somebody pushed me; I had a lot on my mind; I thought nobody would mind; I was so excited"}),
    Scene("used car", """
A: [So|Hello], you are interested in the {car}?
B: Yes. [~How old is it?|How far has it been driven?|Why are you selling it?]
A: [~It is {many} years old.|About {many} thousand kilometres.|{why.I.Cap}.]
= {B} is interested in {A}'s {car}.
--
B: And what do you want for it?
A: {amount}.
B: [That is too much for me.|Hm. Would you take a little less?|There is rust on the door.] What about {less}?
A: [All right.|Let us meet in the middle.|Because it is you.]
= {A} asks for {amount}, but they agree on less.
?
B: [Can I take it for a drive|May I try it]?
A: [Of course, here is the key.|Yes, but only around the block.|Gladly. I will come along.]
B: [Good brakes.|It is a little loud.|It runs very well.] I [will take it|need to think about it|will call you tomorrow].
= {B.she.Cap} tries it out.
""", {"car": "car; van; motorcycle; boat; caravan; tractor; scooter",
      "why": "I _have bought a bigger one; I _do not need it any more; I _am moving to {country}; my knees are too old for it; I _need the money",
      "amount": "[two|three|four|six] thousand [euros|pounds|dollars]; nine hundred [pounds|euros]", "less": "a tenth less; a little less; half of that"}, strangers=True),
    Scene("computer", """
A: {B.call}, you know about computers. {fault.I.Cap}.
B: [~Did you change anything?|Since when?|What did you do last?]
A: [~No, but my nephew was here yesterday.|Since this morning.|Nothing! I only pressed a key.]
= {A} asks {B} for help because {fault.A}.
--
B: [Try this:|First of all:|Do this:] {step}.
A: [~It works!|Nothing happens.|Now it shows the time.] 
B: [~You see. Easy.|Then I have to come by {on}.|Good, that is a start.]
= {B} tells {A.her} to {step}.
?
B: [I would take it to a shop.|That sounds serious.|I cannot see that from here.] [Do you have a copy of your files?|Have you saved everything?]
A: [No.|I think so.|On a stick, yes.]
= {B} cannot solve it from afar.
""", {"fault, step": """
        my screen is black | check whether the plug is in
        I _cannot find my photographs | look in the folder of deleted things
        the mouse does not move | change the battery
        the printer prints only half a page | take out the paper and put it back
        I _have forgotten my password | use the one on the note under the lamp
        it makes a noise like a vacuum cleaner | clean the fan
        everything has become tiny | hold two keys and turn the wheel
        the letters on my keyboard are mixed up | choose another language
        there is no sound | turn up the volume
        the film stops every ten seconds | sit closer to the router
        """}),
    Scene("match talk", """
A: [Did you see|Did you watch] the match {when_past}, {B.call}?
B: [Only the second half.|Of course!|No, how did it end?|I was there!]
A: {town} [~won|lost] {score}. [In the last minute!|After extra time.|They deserved it.]
= {A} and {B} talk about the match, which {town} [~won|lost] {score}.
--
B: [What about|How was] the new {role}?
A: [Brilliant.|He fell over his own feet.|She saved everything.|Injured after {minutes}.]
=
?
B: [The referee was blind.|It was the coach's mistake.|Without the rain it would have been different.]
A: [You always say that.|I do not think so.|That is true.]
= They do not agree about [the reasons|why].
--
A: [Shall we go to the next one together?|I have two tickets for {on}. Are you coming?]
B: [Gladly.|Yes, and I will bring my scarf.] {thanks}
= They want to go to the next match together.
?
A: [~Next week they play against {town2}.|I bet {price} that they win next time.]
B: [~I will not watch that.|You are on!]
=
""", {"when_past": "last night; on Saturday; yesterday", "score": "[two|three|four] to one; two nil; one nil; [three|five] to two", "role": "goalkeeper; coach; striker; captain"}),
    Scene("gym", """
A: [Hello|Good morning], [I would like to join|I want to become a member of] your {club}.
B: [Welcome!|With pleasure.] [Have you done it before?|Do you have any experience?]
A: [Never.|As a child.|For {years}, in {town}.] {goal.I.Cap}.
= {A} wants to join a {club} because {goal.A}.
--
B: We meet {few} times a week, and it costs {price} a month. [The first lesson is free.|You can stop at any time.]
A: [~That is fine.|Is there a discount for families?|Can I try it first?]
B: [~Good, here is the form.|Yes, a third less.|Of course, come {on}.]
= It costs {price} a month.
?
B: I am afraid we are full until [the summer|September|next year]. I can put you on the list.
A: [~Please do.|How long is the list?|What a pity.]
B: [~Good.|About {many} names.|I will call you when there is a place.]
= The club is full, but {B} can put {A.her} on the list.
""", {"club": "gym; judo club; chess club; rowing club; choir; theatre group; running club; garden club; climbing club; swimming club",
      "goal": "I _want to meet people; I _need to get fit again; my doctor thinks it is a good idea; I _have too much time; my [son|wife|friend] is already a member; I _want to try something new"}, strangers=True),
)
