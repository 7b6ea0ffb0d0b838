//! The words of which products are made; what is odd in them (scripts, quotes, markup, emoji) is there to be met.

pub(super) const FIRST: [&str; 24] = [
    "Iron",
    "Silent",
    "Forgotten",
    "Crimson",
    "Hollow",
    "Neon",
    "Distant",
    "Broken",
    "Golden",
    "Frozen",
    "Last",
    "Wild",
    "Astral",
    "Burning",
    "Cursed",
    "Deep",
    "Endless",
    "Lost",
    "Mystic",
    "Rogue",
    "Savage",
    "Sunken",
    "Twisted",
    "Velvet",
];

pub(super) const SECOND: [&str; 24] = [
    "Frontier",
    "Harbor",
    "Kingdom",
    "Signal",
    "Odyssey",
    "Valley",
    "Legion",
    "Circuit",
    "Garden",
    "Horizon",
    "Protocol",
    "Tactics",
    "Racer",
    "Empire",
    "Citadel",
    "Voyage",
    "Tides",
    "Arena",
    "Chronicle",
    "Depths",
    "Rebellion",
    "Island",
    "Sanctum",
    "Drift",
];

pub(super) const ENDING: [&str; 12] = [
    "",
    "",
    "",
    "",
    " II",
    " III",
    ": Deluxe Edition",
    " - Season Pass",
    " (2024)",
    ": Remastered",
    " DLC",
    " - Gold Edition",
];

pub(super) const UNUSUAL: [&str; 12] = [
    "Łowca Smoków: Żelazny Świt",
    "影の王国",
    "Лесная стража",
    "L'Été \"Noir\"",
    "Café Ñandú",
    "Großstadt & Söhne",
    "🎮 Pixel Party 🎉",
    "Path\\Finder <Beta>",
    "𝔉𝔞𝔫𝔱𝔞𝔰𝔶 IX",
    "مدينة الرمال",
    "Tom’s “Great” Escape™",
    "Cafe\u{301} Racer®",
];

pub(super) const REGIONS: [&str; 7] = [
    "GLOBAL",
    "GLOBAL",
    "GLOBAL",
    "EUROPE",
    "UNITED STATES",
    "LATAM",
    "RU/CIS",
];

pub(super) const PLATFORMS: [&str; 9] = [
    "Steam",
    "Steam",
    "Steam",
    "Origin",
    "GOG.COM",
    "Xbox Live",
    "PSN",
    "Nintendo",
    "Battle.net",
];

pub(super) const STUDIOS: [&str; 12] = [
    "Bluefin Works",
    "Nordlys Spill AS",
    "Studio Żubr",
    "Kōgen Soft",
    "Two Lamps",
    "Ember & Ash, Inc.",
    "Cooperativa Río",
    "Old Pier Games",
    "Quiet Fox",
    "Hexline",
    "Sørensen Bros.",
    "Tenfold \"10x\" Ltd",
];

pub(super) const GENRES: [(u32, &str); 8] = [
    (189, "Action"),
    (190, "Adventure"),
    (191, "Strategy"),
    (192, "RPG"),
    (193, "Simulation"),
    (194, "Racing"),
    (195, "Indie"),
    (196, "Co-op & Multiplayer"),
];

pub(super) const SENTENCES: [&str; 10] = [
    "<p>Explore a world that remembers what you did.</p>",
    "<p>Build, trade &amp; defend: every choice has its price.</p>",
    "<ul><li>Over 40 hours of story</li><li>Local co-op</li></ul>",
    "<p>\"One of the quiet surprises of the year\" &mdash; a reviewer</p>",
    "<h2>Key features</h2>\r\n<p>Dynamic weather.<br/>No micro&shy;transactions.</p>",
    "<p>Włącz wyobraźnię: 100&nbsp;% przygody, 0&nbsp;% nudy.</p>",
    "<p>雨の街で、最後の列車を待つ。</p>",
    "<p><strong>Note:</strong> requires an account &lt;free&gt;.</p>",
    "<p style=\"color:#333\">Race through 24 tracks\tin all seasons.</p>",
    "<p>Ride with friends 🚲, or alone.</p>",
];

pub(super) const PROCESSORS: [&str; 4] = [
    "Intel Core i3-3210 / AMD A8-7600",
    "Intel Core i5-8400",
    "Ryzen 5 1600",
    "Core™ 2 Duo 2.4 GHz",
];

pub(super) const GRAPHICS: [&str; 4] = [
    "GeForce GTX 660",
    "Radeon RX 580 8GB",
    "GTX 1060 6 GB",
    "Intel HD 4000",
];

pub(super) const SYSTEMS: [&str; 3] = [
    "Windows 7 (64-bit)",
    "Windows 10/11",
    "Windows 10 64bit; macOS 12+",
];
