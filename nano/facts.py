"""Small facts for instructions: what words mean, moods of sentences, other ways to say them. Knows no corpus."""

from __future__ import annotations

from random import Random

from nano.lists import person
from nano.wording import Person, say, table

DEFINITIONS = table("""
    a carpenter | a person who makes things out of wood | job
    a baker | a person who makes bread and cakes | job
    a plumber | a person who repairs water pipes | job
    a librarian | a person who looks after books and lends them | job
    a harbour | a place by the sea where ships can lie safely | place
    a bakery | a shop where bread is made and sold | place
    a library | a place where you can read and borrow books | place
    a pharmacy | a shop where medicine is sold | place
    a museum | a building where old or beautiful things are shown | place
    a station | a place where trains or buses stop | place
    an island | land with water all around it | nature
    a desert | a very dry region where few plants grow | nature
    a volcano | a mountain from which hot rock and gas come out | nature
    a glacier | a river of ice that moves very slowly | nature
    a lake | a large body of water with land around it | nature
    fog | cloud that lies close to the ground | nature
    a hammer | a tool for driving nails | thing
    an umbrella | a thing that keeps the rain off | thing
    a compass | a device that shows where north is | thing
    a ladder | a thing with steps for climbing up | thing
    a kettle | a pot in which water is boiled | thing
    a thermometer | a device that measures how warm it is | thing
    a candle | a stick of wax that gives light when it burns | thing
    a suitcase | a box with a handle for carrying clothes when you travel | thing
    a recipe | a list of steps for making a dish | idea
    a budget | a plan of how money will be spent | idea
    a promise | words by which you say that you will surely do something | idea
    a secret | something that only few people may know | idea
    a summary | a short text that says what a long one says | idea
    a habit | something that you do again and again without thinking | idea
    a deadline | the latest time at which something must be finished | idea
    a question | a sentence that asks for an answer | idea
    a neighbour | a person who lives next to you | person
    a guest | a person who visits you or stays at a hotel | person
    an uncle | the brother of your mother or father | person
    a niece | the daughter of your brother or sister | person
    a stranger | a person whom you do not know | person
    an orphan | a child whose parents are dead | person
    honest | telling the truth | quality
    lazy | not liking to work | quality
    generous | glad to give to others | quality
    curious | eager to learn or know something | quality
    fragile | easily broken | quality
    ancient | very old | quality
    punctual | coming exactly at the right time | quality
    to borrow | to take something and give it back later | act
    to whisper | to speak very quietly | act
    to apologise | to say that you are sorry | act
    to celebrate | to do something special because of a happy event | act
    to divide | to split into parts | act
""")

OPPOSITES = table("""
    big | small
    hot | cold
    early | late
    happy | sad
    old | young
    rich | poor
    fast | slow
    open | closed
    heavy | light
    empty | full
    loud | quiet
    strong | weak
    wet | dry
    clean | dirty
    cheap | expensive
    easy | difficult
    near | far
    long | short
    thick | thin
    brave | afraid
    always | never
    begin | end
    buy | sell
    win | lose
    remember | forget
    love | hate
    push | pull
    arrive | leave
    day | night
    summer | winter
    north | south
    left | right
    friend | enemy
    question | answer
    war | peace
    truth | lie
""")

MOODS = {
    "happy": ("I [could sing|am so glad|am over the moon], {good}!", "What a [wonderful|lovely|beautiful] {time}: {good}.", "{good.Cap}. I cannot stop smiling.",
              "Finally {good}, and I feel great.", "Best {time} for years! {good.Cap}."),
    "sad": ("I [could cry|am so unhappy|feel empty]: {bad}.", "It was a [gloomy|lonely|dark] {time}. {bad.Cap}.", "{bad.Cap}, and nothing can cheer me up.", "I miss the old times. Now {bad}."),
    "angry": ("[How dare they|This is outrageous|I am furious]! {bad.Cap}!", "{bad.Cap}, [again|for the third time], and nobody even says sorry!", "I have had enough. {bad.Cap}!",
              "I slammed the door, because {bad}."),
    "afraid": ("I [am scared|hardly dare to breathe|lie awake at night], because {worry}.", "What if {worry}? My hands are shaking.", "{worry.Cap}, and I am terrified."),
}  # fmt: skip
GOOD = table("""
    my sister has come home
    our team has won
    the sun is shining at last
    I passed the exam
    the baby can walk
    my garden is in flower
    the doctor says I am well again
    we found the cat
    grandmother laughed with us all evening
    they are playing our song
    I have finished my book
    the whole family was at the table
""")
BAD = table("""
    our old dog died
    nobody came to my party
    the garden was destroyed by the hail
    my best friend is moving away
    somebody broke my window
    the train left without us
    they cut down the old tree
    my bicycle was stolen
    we lost the final
    the shop next door has closed for ever
    my letter came back unopened
    the neighbours left their rubbish in our yard
""")
WORRY = table("""
    there is somebody in the cellar
    the ice will not hold us
    the storm takes the roof off
    I have to speak in front of the whole school
    the dog without a lead is coming nearer
    the operation is tomorrow
    the lift stops between two floors
    the river is still rising
    the lights go out in the tunnel
""")
KINDS = {
    "question": ("[Where|When|Why] did {A} [go|leave|stop]?", "Have you seen {A} [today|this week]?", "What does {A} want from us?", "Is {A} [at home|awake|your cousin]?", "How far is it to the lake?"),
    "command": ("[Close|Open|Lock] the [door|window|gate], please.", "Give this to {A}.", "Do not [touch|move|forget] the [box|lamp|ladder].", "Come here [at once|before dark].", "Wait for {A} at the corner."),
    "statement": ("{A} [left|slept|laughed] [yesterday|all day|early].", "The [box|lamp|ladder] stands behind the door.", "It is [ten|five|two] miles to the lake.", "{A} has two brothers.",
                  "The shop opens at nine."),
    "wish": ("I wish {A} were here.", "If only it would [rain|stop|snow]!", "May you live long, {A}!", "I hope that {A} [comes|wins|sleeps well]."),
}  # fmt: skip
RETOLD = table("""
    {A} gave {B} [the key|a letter|an apple]. | {B} was given [=] by {A}. | passive
    {A} wrote the [song|report|poem]. | The [=] was written by {A}. | passive
    {A} repaired the [roof|car|clock]. | The [=] was repaired by {A}. | passive
    {A} ate the last [biscuit|pear|slice of cake]. | The last [=] was eaten by {A}. | passive
    {A} walks to [school|work|the lake]. | {A} walked to [=]. | past
    {A} lives in the [city|country|old mill]. | {A} lived in the [=]. | past
    {A} sings in the [kitchen|choir|rain]. | {A} sang in the [=]. | past
    {A} has a [cold|dog|good idea]. | {A} had a [=]. | past
    {A} likes [tea|music|mountains]. | Does {A} like [=]? | question
    {A} works on [Sundays|the farm|the roof]. | Does {A} work on [=]? | question
    {A} can [swim|drive|play the flute]. | Can {A} [=]? | question
    {A} is [tired|at home|ill]. | Is {A} [=]? | question
    {A} likes [rain|spiders|long walks]. | {A} does not like [=]. | negative
    {A} is [hungry|afraid|late]. | {A} is not [=]. | negative
    {A} knows [the answer|my name|the way]. | {A} does not know [=]. | negative
    {A} will [come|call|wait]. | {A} will not [=]. | negative
    Give me the [salt|book|map]! | Could you please give me the [=]? | polite
    I want [a coffee|a new key|to talk to {A}]. | I would like [=], please. | polite
    Be quiet, {A}! | Could you please be a little quieter, {A}? | polite
    Open the [window|door|box]! | Would you mind opening the [=], please? | polite
    {A} is happy because {B} [won|called|came home]. | {B} [=], so {A} is happy. | cause first
    {A} stayed at home because it [rained|was late|was too hot]. | It [=], so {A} stayed at home. | cause first
    The [child|dog|bird] is in the garden. | The [=]s are in the garden. | plural
    A [flower|star|candle] can be seen from here. | [=]s can be seen from here. | plural
""")
_ASKS = {
    "passive": "[Rewrite in the passive|Change to the passive voice]", "past": "[Put it into the past|Change to the past tense]", "question": "[Make a question of it|Turn it into a question]",
    "negative": "[Say the opposite with not|Make the sentence negative]", "polite": "[Say it more politely|Make this polite]", "cause first": "[Begin with the cause|Say it with so instead of because]",
    "plural": "[Put it into the plural|Write the plural]",
}  # fmt: skip


def define(rng: Random) -> tuple[str, str]:
    """What a word means, the word for a meaning, a word's opposite."""
    word, meaning, _ = rng.choice(DEFINITIONS)
    one, other = rng.choice(OPPOSITES)
    if rng.random() < 0.5:
        one, other = other, one
    bare = word.split(" ", 1)[-1] if word.startswith(("a ", "an ", "to ")) else word
    kind = "Somebody or something" if not word.startswith("to ") else "Something that is done"
    return rng.choice([
        (f'What does "{bare}" mean?', f"{word[0].upper()}{word[1:]} is {meaning}." if word.startswith(("a ", "an ")) else f'"{bare}" means: {meaning}.'),
        (f"Define: {bare}", f"{meaning[0].upper()}{meaning[1:]}."), (f"Which word means: {meaning}?", f"{bare}"),
        (f'What is the opposite of "{one}"?', f"{other}"), (f"Give the opposite: {one}", f"{other}"), (f"{kind}: {meaning}. What is the word?", bare),
        (f'Is "{other}" the opposite of "{one}"?', f'Yes, "{other}" is the opposite of "{one}".'),
    ])  # fmt: skip


def rewrite(rng: Random) -> tuple[str, str]:
    """A sentence said in another way: passive, past, question, negative, polite, plural."""
    before, after, kind = rng.choice(RETOLD)
    first = person(rng)
    slots: dict[str, str | Person] = {"A": first, "B": person(rng, besides=(first,))}
    option = ""
    if "[" in before:
        start, rest = before.split("[", 1)
        choices, end = rest.split("]", 1)
        option = rng.choice(choices.split("|"))
        before = f"{start}{option}{end}"
    request = say(rng, _ASKS[kind])
    text = say(rng, before, slots)
    return f"{request}{rng.choice([': ', '.' + chr(10), '.' + chr(10) * 2])}{text}", say(
        rng, after.replace("[=]", option), slots
    )


def labelled_sentence(rng: Random) -> tuple[str, str, list[str]]:
    """A sentence, its label, and the labels to choose from: moods or kinds of sentences."""
    table_of = MOODS if rng.random() < 0.6 else KINDS
    label = rng.choice(list(table_of))
    slots = {"A": person(rng), "good": rng.choice(GOOD)[0], "bad": rng.choice(BAD)[0], "worry": rng.choice(WORRY)[0],
             "time": rng.choice(["day", "week", "morning", "evening", "holiday"])}  # fmt: skip
    others = rng.sample([each for each in table_of if each != label], rng.randint(1, len(table_of) - 1))
    return say(rng, rng.choice(table_of[label]), slots), label, rng.sample([label, *others], len(others) + 1)
