"""The project's own ticket-to-JSON task: support messages and the records that an office would keep of them.

Knows its own templates, names and values, which no text of the base may hold (`scan` asserts it); must not know a theme
of the corpus. Values are copied from the message where they stand in it (product, order, amount) and brought into one
form (dates to ISO, currencies to codes); `issue` and `wants` are one of a few values; what is not stated is null.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from nano.wording import choose, say, words

BRANDS = words("""Velmora; Tarvik; Ondrix; Quillbrook; Harbeck; Brixol; Zenvaro; Lumetta; Kestrin; Pavonne; Drelling; Mossgate; Ystrad; Corvexa;
    Hjelm & Roy; Nubrella; Sundvik; Oakhollow; Trivanti; Wexmere; Calderyx; Fjordane; Pelluco; Marqueza""")
GOODS = words("""toaster; kettle; blender; router; vacuum cleaner; desk lamp; coffee grinder; headset; air fryer; hair dryer; keyboard; monitor; baby monitor;
    hand mixer; electric toothbrush; rice cooker; smart watch; power bank; steam iron; dehumidifier; projector; shaver; tablet; dash cam; juicer; sewing machine;
    doorbell; heater; fan; speaker""")
MODELS = words("MkII; 4000X; Slimline; ProLite; Duo Max; XR7; Eco+; Mini-G; Neo 2; TurboS")
CUSTOMERS = words("""Saoirse; Niamh; Rhiannon; Xiomara; Dagmar; Siobhan; Zsofia; Ludmila; Zaynab; Anneliese; Evander; Thorvald; Yevgeny; Zuzanna; Bartosz; Chiamaka;
    Deepika; Efua; Gunnar; Ikenna; Jolanta; Katarzyna; Lakshmi; Mireille; Nkechi; Oluwaseun; Ragnhild; Svetlana; Thandiwe; Wojciech""")
ISSUES = {
    "not_working": (
        "[After two days|On the third use|Since last week] it [refuses to switch on|gives off a burnt smell|shuts itself down] and nothing [in your manual|on your help page] brings it back to life.",
        "It [simply died on me|stopped responding] [while I was using it|overnight], [with a loud click|without any warning], and the light [blinks red|stays dark] ever since.",
        "Sadly the thing [does absolutely nothing|will not start any more], whatever [socket|button] I try.",
        "I have charged it, reset it and sworn at it: [no sign of life|still dead as a doornail].",
    ),
    "damaged": (
        "When I [unpacked|opened] the carton I found a [deep crack|big dent] [along the side|across the front], and one corner was [crushed|bent].",
        "The courier must have [dropped|kicked] it, because the [casing|housing] arrived [split|smashed] and bits were [rattling about|loose] inside.",
        "It came with [scratches|chips] all over, although the wrapping looked [untouched|perfect].",
        "Half of the outer box was [soaked|torn open], and the [lid|frame] underneath is [cracked|warped].",
    ),
    "not_delivered": (
        "Nothing has [turned up|reached me] so far, and your tracking page has [said the same thing|not changed] for [nine|eleven|twelve] days.",
        "According to your app it was [handed over|dropped off], yet [nobody here|none of my neighbours] has seen any parcel.",
        "I am still waiting for it, [and the courier knows nothing|though you promised three working days].",
        "The delivery slot has been [moved|pushed back] [three|four] times now and the shelf in my hall is still empty.",
    ),
    "wrong_item": (
        "What I got instead is [a set of curtain rings|a box of cat litter|somebody else's waffle iron], which I [never asked for|certainly did not order].",
        "You shipped me the [left-handed|smaller|American] version, which is [not what the confirmation says|of no use to me].",
        "The label on the carton is right, but the thing inside is [a completely different model|not mine at all].",
        "Somebody in your warehouse [mixed up the parcels|picked the wrong shelf], as mine holds [garden gnomes|a shower curtain].",
    ),
    "missing_part": (
        "The [charger|power cord|remote|lid|bag of screws] [is not in the carton|was left out], although the leaflet lists it.",
        "I went through all the packing paper twice: the [adapter|mounting bracket|second cable|filter cap] [is not there|never made it into the box].",
        "It is complete except for the [power cord|instruction leaflet|left handle], without which I cannot use it.",
        "One of the [four|six] [feet|shelves|clips] that your leaflet shows is absent.",
    ),
    "overcharged": (
        "My bank statement shows that you took the money [twice|two times], once on the day and [once more|again] a little later.",
        "The invoice is higher than the price on your site, and the voucher was [ignored|not taken off].",
        "You billed me for [two pieces|express shipping], though I only ordered [one|standard shipping].",
        "At the checkout the discount was there; on the receipt it [has vanished|is gone].",
    ),
}  # fmt: skip
WANTS = {
    "refund": ("[Please|Kindly] [send my money back|return the money] to the card I paid with.", "I [want|expect] my money back[, nothing else|].", "How soon can you [reimburse me|pay me back]?",
               "I would [rather have|prefer] a refund."),
    "replacement": ("[Please|Kindly] [ship|send out] [another one|a new one] [straight away|as soon as you can].", "I would like it exchanged for one that is [as it should be|in order].",
                    "A replacement [would do|is all I ask for].", "Could your team swap it, please?"),
    "repair": ("Is there a workshop near me that could [fix it|put it right]?", "I would rather have it repaired than thrown away.", "Please tell your technicians to mend it; I am happy to post it to them.",
               "Can it be repaired under the warranty?"),
    "information": ("[All I need to know is|I only want to know] what [happens next|I should do now].", "Could somebody [explain|tell me] how this [works|came about]?",
                    "I am not asking for anything but an answer.", "Please let me know where things stand."),
    "cancellation": ("[Please|Kindly] [cancel|call off] the whole order.", "I do not want it any longer, so take it off my account.", "Cancel it, please, before anything else goes out."),
}  # fmt: skip
WANTED = {
    "not_working": ("refund", "replacement", "repair", "information"), "damaged": ("refund", "replacement", "repair"),
    "not_delivered": ("refund", "replacement", "information", "cancellation"), "wrong_item": ("refund", "replacement", "information"),
    "missing_part": ("refund", "replacement", "information"), "overcharged": ("refund", "information", "cancellation"),
}  # fmt: skip
URGENT = (
    "This is urgent[, as I need it for Friday|: we are moving out on Saturday|].", "I need this sorted out today.", "Please treat this as urgent[; a newborn is waiting|].", "Every day counts, so please hurry.",
    "It cannot wait, because my [shop|café] opens [tomorrow|on Monday].",
)  # fmt: skip
CALM = (
    "There is no rush at all.",
    "Take your time[, it is not pressing|].",
    "No hurry from my side.",
    "It is not urgent.",
    "Whenever somebody finds a minute is fine.",
)
GREETINGS = (
    "Hello support team,",
    "Dear customer service,",
    "Hi there,",
    "Good day,",
    "To whom it may concern,",
    "Hi support,",
    "Hey folks,",
    "Hello,",
)
OPENERS = (
    "[On {date} I|I] [ordered|bought] [the|a] {product} [on your site|in your online shop] [for {amount}|].", "This is about order {order}[, placed on {date}|]: [one|a] {product}[, {amount}|].",
    "I am writing about the {product} [that I purchased on {date}|I got from you] [for {amount}|][ (order {order})|; my order number is {order}].",
    "My order {order}[ of {date}|] [was for|contained] a {product}[ at {amount}|].", "A {product} [worth {amount}|] was supposed to [make my life easier|be a birthday gift].",
    "[It concerns|I have a problem with] the {product}[, which cost me {amount}|].",
)  # fmt: skip
LATER = {
    "order": ("[The order number is|Order number:|Reference:|You will find it under] {order}.", "My confirmation says {order}.", "({order} is the number on the confirmation.)"),
    "date": ("I placed the order on {date}.", "[The purchase was on|Date of purchase:] {date}.", "It was paid for on {date}."),
    "amount": ("I paid {amount} [in total|for it].", "[The total was|Your invoice says] {amount}.", "All in all that was {amount}."),
}  # fmt: skip
NOISE = (
    "I have been a loyal customer for {n} years.", "My flat is on floor {n}, in case that matters.", "I rang your hotline and hung on for {n} minutes.", "My {n}-year-old keeps asking about it.",
    "My old {other} never gave me any trouble.", "The delivery fee of {fee} came on top, I might add.", "From {later} onwards I am abroad and cannot sign for anything.",
    "Your newsletter reaches me {n} times a week, by the way.", "Please forgive my typing, I am on my phone.", "The chat window closed on me before anybody answered.",
    "Apart from that the service was friendly.", "I have attached photographs.", "My husband says I should not bother, but here I am.", "I checked your list of common questions already.",
    "Otherwise I like your shop.", "My last purchase, {n} months back, went smoothly.",
)  # fmt: skip
CLOSINGS = (
    "Best regards, {name}",
    "Thanks, {name}",
    "{name}",
    "Kind regards, {name}",
    "Yours, {name}",
    "Cheers, {name}",
    "Thank you and best wishes, {name}",
    "Many thanks in advance!",
)

BREAKS = ("\n", "\n", " ", "\n\n")
CURRENCIES = {
    "EUR": ("{} euros", "€{}", "EUR {}", "{} €"),
    "GBP": ("£{}", "{} pounds", "GBP {}"),
    "USD": ("${}", "{} dollars", "USD {}", "US${}"),
}
MONTHS = "January February March April May June July August September October November December".split()
FIELDS = ("product", "order_id", "amount", "currency", "date", "issue", "urgent", "wants")
SEED, COUNT, LEAST_WORDS, MOST_WORDS = 7, 1_200, 20, 90


def write_tickets(path: Path, *, count: int = COUNT, seed: int = SEED) -> None:
    """Write `count` rows {"ticket", "record"}; the record is a JSON text, its keys always in the same order."""
    rng = Random(f"{seed}/tickets")
    rows: dict[str, str] = {}
    while len(rows) < count:
        text, record = ticket(rng)
        rows.setdefault(text, json.dumps(record, ensure_ascii=False))
    lines = (json.dumps({"ticket": text, "record": record}, ensure_ascii=False) + "\n" for text, record in rows.items())
    path.write_text("".join(lines), encoding="utf-8")


def ticket(rng: Random) -> tuple[str, dict[str, Any]]:
    """One message of 20 to 90 words and its record."""
    while True:
        record, slots = _facts(rng)
        text = _message(rng, record, slots)
        if LEAST_WORDS <= len(text.split()) <= MOST_WORDS:
            return text, record


def _facts(rng: Random) -> tuple[dict[str, Any], dict[str, str]]:
    """A record with everything stated, and how a message writes its values."""
    product = f"{rng.choice(BRANDS)} {rng.choice(GOODS)}"
    if rng.random() < 0.3:
        brand, goods = next((brand, product[len(brand) + 1 :]) for brand in BRANDS if product.startswith(f"{brand} "))
        product = f"{brand} {rng.choice(MODELS)} {goods}"
    order = f"{rng.choice('BCDFGHKLMNPQRTVWXZ')}{rng.choice('QVXZ')}-{rng.randrange(100_000, 1_000_000)}"
    shown_order = rng.choice([order, order, f"#{order}", order.replace("-", " "), order.lower()])
    amount = rng.choice([rng.randint(9, 640), rng.randint(900, 64_000) / 100])
    currency = rng.choice(list(CURRENCIES))
    shown_amount = rng.choice(CURRENCIES[currency]).format(f"{amount:.2f}" if isinstance(amount, float) else amount)
    day = date(2023, 1, 1) + timedelta(days=rng.randrange(1_000))
    issue = rng.choice(list(ISSUES))
    record = {"product": product, "order_id": order, "amount": amount, "currency": currency, "date": day.isoformat(),
              "issue": issue, "urgent": rng.random() < 0.4, "wants": rng.choice([*WANTED[issue], None])}  # fmt: skip
    return record, {"product": product, "order": shown_order, "amount": shown_amount, "date": _as_people_write(rng, day), "name": rng.choice(CUSTOMERS), "n": str(rng.randint(3, 19)), "other": f"{rng.choice(BRANDS)} {rng.choice(GOODS)}",
                    "fee": rng.choice(CURRENCIES[currency]).format(f"{rng.randint(290, 990) / 100:.2f}"),
                    "later": _as_people_write(rng, day + timedelta(days=rng.randint(20, 60)))}  # fmt: skip


def _as_people_write(rng: Random, day: date) -> str:
    month = MONTHS[day.month - 1]
    return rng.choice([f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", day.isoformat(), f"{day.day:02}/{day.month:02}/{day.year}",
                       f"{day.day} {month[:3]} {day.year}", f"{day.day}.{day.month}.{day.year}"])  # fmt: skip


def _message(rng: Random, record: dict[str, Any], slots: dict[str, str]) -> str:
    """The message; `record` loses what the message does not state."""
    opener = choose(rng, rng.choice(OPENERS))
    middle = [say(rng, rng.choice(ISSUES[record["issue"]]))]
    for name, field in (("order", "order_id"), ("date", "date"), ("amount", "amount")):
        if f"{{{name}}}" not in opener:
            if rng.random() < 0.65:
                middle.insert(rng.randint(0, len(middle)), rng.choice(LATER[name]))
            else:
                record[field] = None
                record["currency"] = None if field == "amount" else record["currency"]
    ending = [rng.choice(WANTS[record["wants"]])] if record["wants"] else []
    if record["urgent"] or rng.random() < 0.4:
        ending.insert(rng.randint(0, len(ending)), rng.choice(URGENT if record["urgent"] else CALM))
    parts = [opener, *middle, *ending]
    for noise in rng.sample(NOISE, rng.choice((0, 1, 1, 2, 3))):
        parts.insert(rng.randint(1, len(parts)), noise)
    if rng.random() < 0.8:
        parts.insert(0, rng.choice(GREETINGS))
    parts.append(rng.choice(CLOSINGS))
    text = " ".join(say(rng, part, slots) for part in parts[1:-1])
    return f"{say(rng, parts[0], slots)}{rng.choice(BREAKS)}{text}{rng.choice(BREAKS)}{say(rng, parts[-1], slots)}"


def phrases() -> list[str]:
    """Every template of the task, with its choices and slots."""
    groups = (OPENERS, *LATER.values(), *ISSUES.values(), *WANTS.values(), URGENT, CALM, GREETINGS, NOISE, CLOSINGS)
    return [phrase for group in groups for phrase in group]
