//! Whether a command printed what a document shows of it.

/// The first shown line that the printed ones do not bear out. A shown line `...` stands for any lines. Lines agree word by
/// word; words with digits, and `-`, agree with each other, and `20 000` is one word.
pub(crate) fn disagreement(shown: &[String], printed: &str) -> Option<String> {
    let mut left = printed.lines().map(words);
    let mut any = false;
    for line in shown {
        if line == "..." {
            any = true;
            continue;
        }
        let wanted = words(line);
        let found = if any {
            left.any(|words| agree(&wanted, &words))
        } else {
            left.next().is_some_and(|words| agree(&wanted, &words))
        };
        if !found {
            return Some(line.clone());
        }
        any = false;
    }
    (!any && left.next().is_some()).then(|| "the end".to_owned())
}

fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let goes_on = word.len() == 3 && word.chars().all(|c| c.is_ascii_digit());
        match words.last_mut() {
            // A group of three digits.
            Some(last) if goes_on && last.ends_with(|c: char| c.is_ascii_digit()) => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn agree(wanted: &[String], found: &[String]) -> bool {
    let number = |word: &str| word == "-" || word.contains(|c: char| c.is_ascii_digit());
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| wanted == found || number(wanted) && number(found))
}

#[test]
fn numbers_may_differ_and_words_may_not() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = "lists  167 of 20 000\nmore\nQPS  >=9 109  -\n";
    assert_eq!(disagreement(&shown("lists 8 of 3\nmore\nQPS 12 13"), printed), None);
    assert_eq!(disagreement(&shown("lists 8 of 3\n..."), printed), None);
    assert_eq!(disagreement(&shown("...\nQPS 1 2"), printed), None);
    assert_eq!(disagreement(&shown("lists 8 of 3"), printed).as_deref(), Some("the end"));
    assert_eq!(disagreement(&shown("heads 8 of 3\n..."), printed).as_deref(), Some("heads 8 of 3"));
    assert_eq!(disagreement(&shown("...\nlists 8 of\n..."), printed).as_deref(), Some("lists 8 of"));
    assert_eq!(disagreement(&shown("...\nmore\n...\nmore"), printed).as_deref(), Some("more"));
}
