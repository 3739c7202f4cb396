"""What the made texts for the classifier of private matters are made of: words for each slot of a template.

Knows words. Does not know templates (matters_templates.py) or draws (matters_text.py).
"""

from __future__ import annotations

from collections.abc import Mapping


def _several(listed: str) -> tuple[str, ...]:
    """The items between `|`, over several lines; an empty one is a slot left empty."""
    return tuple(item.strip() for item in listed.replace("\n", " ").split("|"))


FIRST = _several(
    """
    Anna|Ben|Carla|David|Elif|Fatima|George|Hannah|Ivan|Julia|Kenji|Laura|Mohammed|Nadia|Oliver|Priya|Quentin|Rosa|
    Sven|Tomasz|Ursula|Viktor|Wei|Xenia|Yusuf|Zoe|Minh|Thuy|Carlos|Lucia|Pierre|Amélie|Giulia|Marco|Ingrid|Lars|
    Aisha|Kwame|Emily|Jack|Grace|Noah|Sofia|Mateo|Chloe|Ethan|Linh|Hiro|Mei|Raj|Sunita|Olga|Dmitri|Katarzyna|Piotr|
    João|Beatriz
    """
)

LAST = _several(
    """
    Smith|Jones|Müller|Schmidt|Rossi|Ferrari|Garcia|Lopez|Nguyen|Tran|Kowalski|Nowak|Dubois|Martin|Silva|Santos|
    Patel|Singh|Kim|Tanaka|Ivanov|Petrov|Johansson|Nielsen|de Vries|Bakker|O'Connor|Murphy|Walker|Young|Carter|
    Brooks|Haddad|Khan|Okafor|Mensah|Cohen|Levi|Papadopoulos|Horvat|Novak|Larsen|Weber|Moreau|Costa|Ricci
    """
)

SLOTS: Mapping[str, tuple[str, ...]] = {
    "thing_named": _several(
        """
        Netflix|Tesla|Photoshop|Kubernetes|Toyota Corolla|Game of Thrones|Zelda|Bohemian Rhapsody|Hamlet|Moby Dick|
        Real Madrid|Tottenham|Wimbledon|Machu Picchu|Santorini|Reykjavik|Marrakesh|Kyoto|Ljubljana|Waterloo|Bayes|
        Dijkstra|Fourier|Euler|TensorFlow|PyTorch|Pandas|Excel|Salesforce|Shopify|Betelgeuse|Kepler|Zeus|Odin|Anubis|
        Gandalf|Sherlock|Darth Vader|Pikachu|Minecraft|Fortnite|Lasagna|Pad Thai|Goulash|Nike|Adidas|Ikea|Airbnb|
        Wikipedia|Brexit|Bitcoin|Ethereum|Chopin|Vivaldi|Picasso|Monet|Nirvana|Metallica|Coldplay|Inception|Titanic
        """
    ),
    "kin": _several(
        """
        husband|wife|girlfriend|boyfriend|partner|ex-husband|ex|mother|father|mom|dad|sister|brother|son|daughter|
        best friend|roommate|mother-in-law|grandmother|uncle|cousin|stepfather|fiancé|boss|coworker|neighbor
        """
    ),
    "illness": _several(
        """
        bipolar disorder|breast cancer|type 2 diabetes|depression|HIV|epilepsy|Crohn's disease|multiple sclerosis|
        anxiety|PTSD|schizophrenia|a heart condition|hepatitis C|an eating disorder|lupus|early dementia|ADHD|
        endometriosis|a brain tumor|chronic kidney disease|herpes|an addiction to painkillers|asthma|autism|
        fibromyalgia|leukemia|erectile dysfunction|postpartum depression
        """
    ),
    "drug": _several(
        """
        sertraline|lithium|metformin|insulin|oxycodone|Adderall|warfarin|prednisone|Xanax|antidepressants|methadone|
        birth control pills|blood pressure medication|chemotherapy
        """
    ),
    "symptom": _several(
        """
        panic attacks|chest pain|blood in my stool|a lump in my breast|trouble sleeping|migraines|suicidal thoughts|
        constant nausea|numbness in my hands|heavy bleeding|memory loss|a rash on my groin|hair loss|weight loss
        """
    ),
    "money": _several(
        """
        $4,200 a month|$87,000 a year|€3,150 net|£52k|$61,500|about 40 thousand dollars|2,800 euros|$312,000|$18,940|
        ₫25 million a month|£1,240
        """
    ),
    "debt": _several(
        """
        credit card debt|student loans|a second mortgage|medical bills|back taxes|gambling debts|a payday loan|
        unpaid child support|three months of rent arrears|a car loan in default
        """
    ),
    "crime": _several(
        """
        a DUI|shoplifting|domestic assault|possession|fraud|a hit and run|tax evasion|stalking
        """
    ),
    "intimate": _several(
        """
        an affair|a miscarriage|an abortion|been cheating on me|a secret account|lost interest in sex|
        been reading my messages|hit me last night|come out as gay|asked for an open marriage|a drinking problem
        """
    ),
    "work": _several(
        """
        my manager|HR|my supervisor|the director|my team lead|our CEO
        """
    ),
    "workmatter": _several(
        """
        I am pregnant|I am on a performance plan|I was passed over for promotion|I reported harassment|I was suspended|
        I have been on sick leave|my contract will not be renewed|I am interviewing elsewhere
        """
    ),
    "city": _several(
        """
        Leeds|Hamburg|Lyon|Boston|Austin|Hanoi|Porto|Kraków|Milan|Seville|Utrecht|Denver|Toronto|Bristol|Osaka
        """
    ),
    "company": _several(
        """
        Northwind|Siemens|our startup|the hospital|a law firm|Deloitte|the school district|a call center|Lidl
        """
    ),
    "age": _several(
        """
        7|15|16|23|29|34|38|41|46|52|59|67|74|83
        """
    ),
    "date": _several(
        """
        12 March 1984|03/07/1991|last Tuesday|on May 5|in 2019|1979-11-23|two weeks ago|since January
        """
    ),
    "number": _several(
        """
        4|17|88|221|1024|350|9|76B|12
        """
    ),
    "street": _several(
        """
        Maple Street|High Road|Rue des Lilas|Lindenstraße|Via Garibaldi|Calle Mayor|Oak Avenue|Kerkstraat|Station Road|
        Hauptstrasse|Elm Drive|Rua do Sol|Church Lane|Nguyễn Huệ
        """
    ),
    "phone": _several(
        """
        +44 20 7946 0123|(415) 555-0188|030 1234567|06 12 34 56 78|555-0142|0912 345 678
        """
    ),
    "legal": _several(
        """
        custody of my kids|my divorce|my asylum application|my green card|an eviction notice|my restraining order|
        my bankruptcy|the inheritance|my parole hearing|my visa overstay
        """
    ),
    "ask": _several(
        """
        What should I do?|How do I tell them?|Help me write this.|Can you give me advice?|Is this normal?|
        Please draft a reply.|Should I be worried?|Make it sound professional.|What are my options?||
        """
    ),
    "doc": _several(
        """
        email|letter|message|complaint|note|summary|reference|appeal|statement
        """
    ),
    "topic": _several(
        """
        type 2 diabetes|depression|breast cancer|mortgages|student loans|divorce law|bankruptcy|asthma|HIV|
        child custody|income tax|epilepsy|salary negotiation|ADHD|pregnancy|credit scores|blood pressure|dementia|
        immigration visas|alcoholism|pensions|domestic violence|eating disorders|insulin resistance
        """
    ),
    "place": _several(
        """
        Japan|the Roman Empire|Brazil|Mars|the Amazon|ancient Egypt|Iceland|New York|the Baltic Sea
        """
    ),
    "subject": _several(
        """
        photosynthesis|linear algebra|the French Revolution|plate tectonics|supply and demand|black holes|HTTP|
        recursion|the water cycle|machine learning|jazz|chess openings|quantum computing|climate change
        """
    ),
    "lang": _several(
        """
        Python|JavaScript|SQL|Rust|Java|C++|Go|bash|TypeScript|Haskell
        """
    ),
    "thing": _several(
        """
        binary search tree|REST endpoint|login page|CSV parser|unit test|sorting function|chatbot|web scraper|
        regular expression|Dockerfile|linked list|rate limiter|React component
        """
    ),
    "product": _several(
        """
        running shoes|a coffee machine|an electric bike|a budgeting app|organic soap|a yoga studio|a laptop|a meal kit|
        a hotel in the Alps|noise-cancelling headphones
        """
    ),
    "hero": _several(
        """
        a retired detective|a young witch|two rival chefs|a lonely robot|a knight|a nurse in wartime|a talking cat|
        an astronaut|a banker who loses everything|a teenager who discovers magic
        """
    ),
    "figure": _several(
        """
        Marie Curie|Abraham Lincoln|Frida Kahlo|Albert Einstein|Nelson Mandela|Beyoncé|Leonardo da Vinci|Elon Musk|
        Jane Austen|Barack Obama|Taylor Swift|Isaac Newton
        """
    ),
}
