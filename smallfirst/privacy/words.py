"""The words around which something personal may stand: what makes a number an identifier and a topic a matter.

Knows words of a few languages, folded as `fold` folds. Does not know what stands around them.
"""

from __future__ import annotations

import string

_FOLD = bytes.maketrans(
    bytes(range(128)),
    "".join(
        c.lower() if c in string.ascii_letters else "0" if c in string.digits else " " for c in map(chr, range(128))
    ).encode(),
)
"""Lower case, every digit a 0, everything else that is ASCII a space; bytes of other letters (UTF-8) as they are."""


def fold(text: str) -> list[bytes]:
    """The words of a text, in order."""
    if not text.isascii():
        text = text.lower()
    return text.encode("utf-8", "replace").translate(_FOLD).split()


def _words(text: str) -> frozenset[bytes]:
    return frozenset(word.encode() for word in text.split())


PHONE = _words(
    "phone telephone tel mobile cell cellphone call calling dial fax whatsapp sms texted text ring callback hotline "
    "extension telefon telefonnummer handy handynummer mobil anruf téléphone portable appelez teléfono móvil celular "
    "telefono cellulare telefoon telefoonnummer komórka telefone số điện thoại contact reach"
)
BIRTH = _words("born dob birth birthday birthdate birthdays geboren geburtsdatum né née naissance nacido nacimiento "
               "nato nata nascita geboortedatum urodzony urodzenia nascimento")  # fmt: skip
PASSPORT = _words("passport passports passeport reisepass pasaporte passaporto paspoort paszport passaporte")
LICENCE = _words("licence license licenses drivers driver driving dl permis führerschein rijbewijs patente conducir")
MEDICAL = _words("mrn medical patient patients chart hospital record records nhs krankenversicherung")
STREET = _words(
    "street st avenue ave av road rd lane ln drive dr boulevard blvd court ct terrace crescent highway hwy "
    "parkway pkwy square sq alley circle trail suite apt apartment unit box strasse straße str weg platz "
    "gasse allee ring rue chemin impasse quai via viale piazza corso calle avenida paseo plaza rua travessa "
    "ul ulica aleja utca útja út tér laan straat plein gade vej gatan vägen katu tie address lives live "
    "living adresse adres dirección indirizzo"
)
SECRET = _words(
    "password passwd pwd pass passphrase secret secrets token tokens key keys apikey api credential credentials bearer "
    "auth authorization pin passwort kennwort contraseña senha hasło wachtwoord private aws access login"
)
IDENTITY = _words(
    "ssn social security itin taxpayer tin nino insurance nhs steuer steuernummer steuerid identifikationsnummer idnr "
    "nir sécurité sociale insee bsn burgerservicenummer sofinummer pesel dni nie nif aadhaar aadhar uidai uid cpf cccd "
    "cmnd căn cước mst thuế codice fiscale pan identity identification id national"
)

KIN = _words(
    "husband wife spouse partner ex boyfriend girlfriend fiancé fiancée son daughter child kid kids mother "
    "father mom dad mum brother sister grandmother grandfather grandma grandpa aunt uncle niece nephew cousin "
    "stepson stepdaughter baby twins parents family roommate boss coworker colleague employee manager "
    "landlord tenant neighbor neighbour friend teacher therapist lawyer"
)
SELF = _words("i im my me mine myself ive ich mein meine je mon ma mes yo mi mis io mio mia")
OTHER = _words("he his him she her hers their patient client mr mrs ms miss")
PERSONAL = KIN | SELF | OTHER
POSSESSIVE = _words("my his her our mein meine mon ma mi mio mia patient patients")
STRONG = _words("diagnosed prescribed suffers suffering hospitalized hospitalised admitted relapsed")

HEALTH = _words(
    "cancer tumor tumour chemotherapy chemo radiotherapy leukemia lymphoma melanoma carcinoma diabetes "
    "diabetic insulin asthma copd epilepsy seizure seizures stroke dementia alzheimer alzheimers parkinson "
    "parkinsons sclerosis lupus arthritis hiv aids hepatitis herpes chlamydia gonorrhea syphilis std sti "
    "tuberculosis covid pneumonia depression depressed anxiety bipolar schizophrenia psychosis adhd autism "
    "autistic ocd ptsd anorexia bulimia suicidal suicide selfharm overdose addiction alcoholism alcoholic "
    "rehab sober withdrawal antidepressant antidepressants ssri sertraline fluoxetine lithium metformin "
    "warfarin opioid methadone oxycodone adderall xanax medication medications prescription dosage biopsy mri "
    "ultrasound colonoscopy mammogram surgery operation transplant dialysis miscarriage abortion pregnant "
    "pregnancy ivf infertility infertile menopause endometriosis pcos erectile dysfunction hypertension "
    "migraine migraines allergy allergic anaphylaxis symptoms diagnosis diagnosed prognosis disability "
    "disabled wheelchair blood cholesterol psychiatrist psychiatric therapist therapy counselling counseling "
    "oncologist cardiologist gynecologist urologist fibromyalgia crohns colitis celiac anemia thyroid "
    "vaccination heart kidney liver krebs schwanger diabète enceinte embarazada cáncer"
)
FINANCE = _words(
    "salary salaries wage wages paycheck payslip payroll income earn earns debt debts bankruptcy bankrupt insolvency "
    "mortgage foreclosure repossession loan loans overdraft arrears garnishment creditors collections alimony "
    "childsupport pension savings inheritance tax taxes refund 401k ira dividend dividends portfolio networth "
    "owe owed owes unpaid evicted eviction rent severance gehalt kredit schulden salaire dette nómina sueldo deuda"
)

INTIMATE = _words(
    "gay lesbian bisexual trans closeted sex sexual sexually unprotected condom porn affair affairs cheating cheated "
    "lover intimate intimacy virgin naked nudes molested abused abuse abuses abusive rape raped assaulted beaten hits "
    "hit slapped stalking harassed harassment drunk drinking drugs cocaine weed gambling cutting selfharm rash itching"
)
LEGAL = _words(
    "arrested charged convicted probation parole jail prison police lawsuit sued suing court custody divorce divorced "
    "separated settlement restraining undocumented deported deportation asylum visa overstay immigration citizenship "
    "shoplifting dui fraud criminal offence offense evicting evict witness testify inherited will probate"
)
FEELING = _words(
    "ashamed embarrassed afraid scared worthless lonely alone cope crying cry hopeless guilty jealous humiliated "
    "overwhelmed exhausted desperate heartbroken grieving grief miss hate angry hurt hurts secretly secret confess "
    "confidence told tell telling knows suspects forgive trust betrayed"
)
WORK = _words(
    "fired laid redundant resign resigned quit interviewing promotion demoted boss manager hr supervisor colleague "
    "coworker employer job jobs workplace absent absence sick leave warning unemployed unemployment applied hire"
)
"""What people tell in confidence; each word is harmless by itself, and so these are features of the classifier only."""

TRIGGERS = (
    PHONE | BIRTH | PASSPORT | LICENCE | MEDICAL | STREET | SECRET | IDENTITY
)  # words that matter beside a digit or a long token
MATTERS = HEALTH | FINANCE
