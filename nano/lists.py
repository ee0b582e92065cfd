"""Names, places, days, numbers in words, and invented words: what several themes draw from. Knows no sentence."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from nano.wording import Person

WOMEN = (
    "Alice Amira Anna Astrid Beatrice Beth Bianca Carmen Carol Cecilia Claire Clara Daisy Diana Dora Elena Ella Elsa "
    "Emma Esther Eva Fatima Fiona Flora Freya Gloria Grace Hanna Heidi Helen Ida Ingrid Irene Iris Isabel Jane "
    "Jasmine Jenny Joan Julia Karen Kate Laura Leila Lena Linda Lisa Lucy Maria Marta Martha Mei Mia Miriam Molly "
    "Nadia Naomi Nina Nora Olga Olive Olivia Paula Petra Polly Priya Rachel Rita Rosa Ruth Sally Sandra Sara Selma "
    "Sofia Stella Susan Tara Teresa Tina Ursula Vera Victoria Wendy Yara Yuki Zoe Aisha Agnes Bella Chloe Edith Greta "
    "Hazel Ines Judith Kim Leonie"
).split()  # fmt: skip
MEN = (
    "Adam Ahmed Alan Albert Andrew Anton Arthur Ben Boris Bruno Carl Charlie Chris Daniel David Dennis Diego Dylan "
    "Edward Emil Eric Ethan Felix Finn Frank Fred Gabriel George Graham Hassan Harry Henry Hugo Ian Isaac Ivan Jack "
    "Jakob James Joel John Jonas Joseph Karim Kevin Kofi Lars Leo Leon Liam Louis Lucas Luis Marco Martin Matt Max "
    "Michael Mohammed Nathan Neil Nick Noah Oliver Omar Oscar Otto Owen Pablo Patrick Paul Peter Philip Ralph Ravi "
    "Ray Robert Ryan Sam Samuel Simon Stefan Steve Theo Thomas Tim Toby Tom Tony Victor Vincent Walter Yusuf Zack Ali"
).split()  # fmt: skip
SURNAMES = (
    "Adams Allen Archer Bailey Baker Barnes Bell Bennett Berger Blake Brandt Brooks Brown Burke Carter Castillo Chen "
    "Clark Cole Cooper Costa Cox Crane Dale Diaz Dixon Dunn Ellis Evans Ferrari Fisher Fletcher Ford Foster Fox "
    "Garcia Gibson Grant Gray Green Hall Hansen Harris Hart Hill Holmes Hughes Hunt Ito Jackson Janssen Kaur Kelly "
    "Khan Kim King Klein Lane Larsen Lee Lopez Marsh Martinez Mason Meyer Miller Mills Moore Morgan Murphy Nguyen "
    "Novak Osman Page Palmer Park Patel Pearce Perez Price Quinn Reed Reyes Rossi Russell Sato Schmidt Shah Shaw "
    "Silva Simmons Singh Stone Sutton Tanaka Taylor Turner Vogel Wagner Walker Ward Watson Webb West White Wilson "
    "Wolf Wood Wright Young"
).split()  # fmt: skip
TOWNS = (
    "Ashford Barton Belmont Bergen Brookfield Calder Camden Carlow Clifton Crestwood Dalton Denham Dover Eastbury "
    "Elmwood Fairview Farley Foxton Galway Glenridge Granville Halden Hamburg Harlow Hillcrest Kingsport Lakeview "
    "Lancaster Langford Lisbon Lyon Malmo Marlow Millbrook Milton Montrose Naples Newport Norwood Oakdale Oslo Oxford "
    "Penrose Porto Quebec Ravenna Redhill Richmond Riverton Salem Seville Sherwood Somerset Springfield Stockton "
    "Sunbury Thornton Trent Turin Utrecht Valencia Verona Warwick Westfield Whitby Winslow Woodstock York Zurich "
    "Antwerp Bath Cork Dundee Geneva"
).split()  # fmt: skip
COUNTRIES = (
    "Argentina Australia Austria Belgium Brazil Canada Chile China Croatia Denmark Egypt Finland France Germany Ghana "
    "Greece Hungary Iceland India Indonesia Ireland Italy Japan Kenya Malta Mexico Morocco Nepal Norway Peru Poland "
    "Portugal Scotland Spain Sweden Switzerland Thailand Tunisia Turkey Vietnam Wales"
).split()  # fmt: skip
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()  # fmt: skip
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ONSETS = "b br c cl d dr f fl g gr h j k kr l m n p pl pr qu r s sk sl st t tr v w z".split()
_VOWELS = "a e i o u ai ea ia io oo".split()
_CODAS = "l ld m mp n nd nt r rd rn s sk st t th x ck ll".split()


def person(rng: Random, *, besides: tuple[Person, ...] = ()) -> Person:
    """Somebody by first name, another than those in `besides`."""
    while True:
        woman = rng.random() < 0.5
        name = rng.choice(WOMEN if woman else MEN)
        if name not in {each.label for each in besides}:
            return Person(name, name, woman, name)


def full_name(rng: Random) -> str:
    return f"{rng.choice(WOMEN + MEN)} {rng.choice(SURNAMES)}"


def number_in_words(number: int) -> str:
    """0 to 999,999 in words: three hundred and five."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")
    large, unit = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % large
    joint = " and " if rest < 100 else " "
    return f"{number_in_words(number // large)} {unit}" + (joint + number_in_words(rest) if rest else "")


def some_date(rng: Random, first_year: int = 1990, last_year: int = 2030) -> date:
    return date(rng.randint(first_year, last_year), 1, 1) + timedelta(days=rng.randrange(365))


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def written(rng: Random, day: date) -> str:
    """The day as people write it."""
    month = MONTHS[day.month - 1]
    return rng.choice([
        f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}",
        f"the {ordinal(day.day)} of {month} {day.year}", f"{day.day:02}/{day.month:02}/{day.year}", day.isoformat(),
        f"{day.day} {month[:3]} {day.year}",
    ])  # fmt: skip


def coined(rng: Random, syllables: int = 0) -> str:
    """A word that is in no dictionary, for names that can only be copied."""
    count = syllables or rng.choice((1, 2, 2, 2, 3))
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count)]
    return "".join(parts) + (rng.choice(_CODAS) if count == 1 or rng.random() < 0.5 else "")


def code(rng: Random) -> str:
    """A label of letters and digits, as on shelves, parts and forms."""
    letters, digits = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"
    shape = rng.choice(["AA-00", "A000", "AA 0000", "000-A", "AAA/00", "A-00-A", "00AA00", "A0-A0", "0000", "AA00-00",
                        "00.00.A", "AAA-0000", "A/0000", "AA-00000", "000000", "AAAA-00"])  # fmt: skip
    return "".join(
        rng.choice(letters) if sign == "A" else rng.choice(digits) if sign == "0" else sign for sign in shape
    )
