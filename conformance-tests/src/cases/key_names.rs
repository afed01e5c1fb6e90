//! Keys are compared byte by byte: every name is a lock of its own.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{Attempt, Claim, Key};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, is_free, wins};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(every_printable_ascii_byte_makes_a_key_of_its_own, exclusive),
    case!(every_printable_ascii_byte_may_come_first, exclusive),
    case!(what_a_store_might_treat_specially_is_a_name, exclusive),
    case!(letters_that_look_alike_are_different_keys, exclusive),
    case!(blanks_are_not_trimmed_or_folded, exclusive),
    case!(keys_of_every_length_are_kept_whole, exclusive),
    case!(the_shortest_key_is_a_key),
    case!(a_key_and_what_it_begins_with_are_different_keys, exclusive),
    case!(names_that_look_like_numbers_are_different_names, exclusive),
    case!(a_list_of_keys_is_not_a_key_with_a_separator, exclusive; needs Several),
    case!(a_name_with_special_characters_can_be_waited_for, exclusive; needs Fair),
    case!(many_keys_are_as_many_locks),
];

/// Fails unless all these keys are distinct locks: all can be held at once, each is busy for itself, and each is
/// freed by its own release alone.
async fn distinct(world: &World, keys: Vec<Key>) {
    let [here, there] = world.clients().await;
    let claims: Vec<_> = keys.iter().map(|key| (key, world.lasting(key))).collect();
    for (key, claim) in &claims {
        let attempt = here.acquire(claim).await;
        assert!(matches!(attempt, Ok(Attempt::Granted(_))), "{key:?}: {attempt:?}");
    }
    for (key, _) in &claims {
        assert!(!is_free(&there, key).await, "{key:?} is held twice");
    }
    for (at, (key, claim)) in claims.iter().enumerate() {
        held(here.release(claim, AT_ONCE).await);
        if let Some((next, _)) = claims.get(at + 1) {
            assert!(!is_free(&there, next).await, "{next:?} was freed with {key:?}");
        }
        granted(there.acquire(&world.lasting(*key)).await);
    }
}

fn printable() -> impl Iterator<Item = char> {
    (b' '..=b'~').map(char::from)
}

/// A key as it is written, made fresh by what is written before or behind.
fn whole(name: String) -> Key {
    Key::new(name).expect("a valid key")
}

/// Every printable byte of ASCII, at the end of a key.
async fn every_printable_ascii_byte_makes_a_key_of_its_own(world: World) {
    let names = printable().map(|byte| world.key(&byte.to_string()));
    distinct(&world, names.collect()).await;
}

/// Every printable byte of ASCII, at the beginning.
async fn every_printable_ascii_byte_may_come_first(world: World) {
    let names = printable().map(|byte| whole(format!("{byte}{}", world.key("x"))));
    distinct(&world, names.collect()).await;
}

/// What SQL, Lua, shells, globs, URLs, hash tags, formats and escapes treat specially is a name like any other.
async fn what_a_store_might_treat_specially_is_a_name(world: World) {
    const WORDS: &str = r#"
        a {a} {a}b {b}a {} { } }{ {{a}} ${a} a/b a//b /a a/ // ../a a/../b . .. a.b a:b a::b :a a|b a,b a;b a=b a&b a+b
        a%20b a%2fb a%2Fb a% a%% %s %d %n * a* ** ? a? [a] [a-z] [^a] [] !a \ \\ a\ \a \n \0 \x61 \u0061 ' '' a'b a''b
        " "" a"b ` `a` $ $$ $a $1 @a #a ~ ~a _ __ a_ -- a-- --a 'OR'1'='1 ';DROP(claims);-- /*a*/ (a) <a> &lt;a&gt; ^a$ .*
        null NULL nil true false [[ ]] [[a]] KEYS[1] ARGV[1] {0} é ß 日本 🔒 🔒🔑
    "#;
    const PHRASES: &str = "' OR '1'='1|a'); DELETE FROM claims; --|return 1|/* a */|-- a|\u{feff}a|\u{200b}a|\u{200d}|\
        \u{202e}a|\u{e000}|\u{fffd}|\u{ffff}|\u{10ffff}|a\u{301}|a\u{20dd}";
    let names = WORDS.split_whitespace().chain(PHRASES.split('|'));
    distinct(&world, names.map(|name| world.key(name)).collect()).await;
}

/// Nothing is folded or normalised: case, composed and decomposed forms, letters of other scripts and widths.
async fn letters_that_look_alike_are_different_keys(world: World) {
    const NAMES: &str = "a A \u{430} \u{3b1} \u{ff41} \u{1d41a} ª \u{e5} a\u{30a} \u{c5} A\u{30a} \u{212b} \u{e9} e\u{301} \
        \u{c9} E\u{301} i I \u{131} \u{130} i\u{307} ss ß \u{1e9e} SS fi \u{fb01} K \u{212a} k \u{3c3} \
        \u{3c2} \u{3a3} 1 \u{661} \u{ff11} ² 2 \u{1ea1}\u{302} \u{1ead} a\u{323}\u{302} a\u{302}\u{323}";
    distinct(&world, NAMES.split(' ').map(|name| world.key(name)).collect()).await;
}

/// Blanks count, wherever they stand and whichever they are.
async fn blanks_are_not_trimmed_or_folded(world: World) {
    const NAMES: &str = "| |  |a| a|a | a |a  |a b|a  b|ab|a\u{a0}b|\
        a\u{a0}|a\u{2003}|a\u{3000}|a\u{200b}|a\u{2028}|a\u{2029}|a\u{ad}";
    let inside = NAMES.split('|').map(|name| world.key(name));
    let before = [" ", "  ", "\u{a0}", "\u{2003}"].map(|blank| whole(format!("{blank}{}", world.key("x"))));
    distinct(&world, inside.chain(before).collect()).await;
}

/// Keys of 512 bytes are kept whole: they differ though all but one of their bytes are the same.
async fn keys_of_every_length_are_kept_whole(world: World) {
    let start = world.key("").as_str().to_owned();
    let filled = |length: usize, end: &str| {
        whole(format!("{start}{}{end}", "x".repeat(length - start.len() - end.len())))
    };
    let lengths = [31, 32, 33, 63, 64, 65, 127, 128, 129, 191, 192, 254, 255, 256, 257, 511, 512];
    let mut keys: Vec<_> = lengths.into_iter().map(|length| filled(length, "")).collect();
    keys.extend(["a", "b", "ab", "é"].map(|end| filled(512, end)));
    keys.extend(["a", "b"].map(|end| filled(511, end)));
    keys.push(whole(format!("y{}", &filled(511, "").as_str())));
    // Four bytes a letter, and as many as there is room for.
    let emoji = "🔒".repeat((512 - start.len()) / 4);
    keys.extend([emoji.clone(), emoji.replacen('🔒', "🔑", 1)].map(|name| whole(format!("{start}{name}"))));
    distinct(&world, keys).await;
}

/// A key of one byte is a key. It is nobody's own: whoever else runs this suite waits for it as we do.
async fn the_shortest_key_is_a_key(world: World) {
    let [here, there] = world.clients().await;
    let [x, y] = ["x", "y"].map(|name| whole(name.to_owned()));
    // Left behind by a run that was killed, it is not in the way for longer than the next one waits.
    let brief = |key| world.claim_for(Duration::from_secs(15), key).queued();
    let (one, two) = (brief(&x), brief(&y));
    wins(&here, &one).await;
    wins(&here, &two).await;
    busy(there.acquire(&world.lasting(&x)).await);
    held(here.release(&one, AT_ONCE).await);
    busy(there.acquire(&world.lasting(&y)).await);
    held(here.release(&two, AT_ONCE).await);
}

/// No key is a part of another.
async fn a_key_and_what_it_begins_with_are_different_keys(world: World) {
    let name = "a/b/c//{d}:e.f";
    let starts = (0..=name.len()).map(|length| world.key(&name[..length]));
    let ends = (1..=name.len()).map(|length| whole(format!("{}{}", &name[length..], world.key("z"))));
    let twice = whole(format!("{0}{0}", world.key("a")));
    distinct(&world, starts.chain(ends).chain([twice]).collect()).await;
}

/// A name is text, also when all of it could be read as a number, in whatever notation.
async fn names_that_look_like_numbers_are_different_names(world: World) {
    // As fresh as a key of this world, but a number from its first digit to its last.
    let number = getrandom::u64().expect("the system has random numbers") >> 12;
    let text = [
        format!("{number}"),
        format!("0{number}"),
        format!("00{number}"),
        format!("+{number}"),
        format!("-{number}"),
        format!(" {number}"),
        format!("{number} "),
        format!("{number}.0"),
        format!("{number}.00"),
        format!("{number}."),
        format!("{number}e0"),
        format!("{number}E0"),
        format!("{number}0"),
        format!("{number}L"),
        format!("{number:x}"),
        format!("{number:X}"),
        format!("{number:016x}"),
        format!("{number:016X}"),
        format!("{number:#x}"),
        format!("{number:#X}"),
        format!("{number:#o}"),
        format!("{number:#b}"),
        format!("\\x{number:016x}"),
        format!("{},{}", number >> 32, number & 0xffff_ffff),
    ];
    // Of digits alone, the two notations with and without capitals may be one name.
    let mut keys: Vec<_> = text.map(whole).into();
    keys.sort();
    keys.dedup();
    distinct(&world, keys).await;
}

/// Keys of one claim are never run together: what separates them in the store may be a part of a name.
async fn a_list_of_keys_is_not_a_key_with_a_separator(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    granted(here.acquire(&world.lasting([&a, &b])).await);
    for separator in ["", " ", ",", ", ", ";", "|", "/", ":", "\u{1f512}", "\",\"", "','", "}{", "+", "&"] {
        for (one, two) in [(&a, &b), (&b, &a)] {
            granted(there.acquire(&world.lasting(whole(format!("{one}{separator}{two}")))).await);
        }
    }
    for (open, close) in [("[", "]"), ("{", "}"), ("(", ")"), ("\"", "\""), ("'", "'")] {
        granted(there.acquire(&world.lasting(whole(format!("{open}{a},{b}{close}")))).await);
        granted(there.acquire(&world.lasting(whole(format!("{open}{a}{close}")))).await);
    }
}

/// Queues and releases work on special names as on others.
async fn a_name_with_special_characters_can_be_waited_for(world: World) {
    let [here, there] = world.clients().await;
    let keys = ["' OR '1'='1", "{a}%*?[b]\\", "\u{feff}é e\u{301} ", "🔒".repeat(100).as_str()]
        .map(|name| world.key(name));
    for key in &keys {
        let [holder, first, second] = world.rivals(key).map(Claim::queued);
        granted(here.acquire(&holder).await);
        busy(there.acquire(&first).await);
        busy(there.acquire(&second).await);
        held(here.release(&holder, AT_ONCE).await);
        busy(there.acquire(&second).await);
        granted(there.acquire(&first).await);
    }
}

/// Hundreds of keys are as many locks: no two share one because they share a bucket or a hash.
async fn many_keys_are_as_many_locks(world: World) {
    let clients: [_; 4] = world.clients().await;
    let claims: Vec<_> = (0..600).map(|at| world.lasting(world.key(&format!("key {at}")))).collect();
    for (at, some) in claims.chunks(50).enumerate() {
        for look in join_all(some.iter().map(|claim| clients[at % 4].acquire(claim))).await {
            granted(look);
        }
    }
}
