//! How documents of tokens come about: topics, the words of a topic, and what a document makes of a word.
//!
//! A vocabulary of words has a vector each, of the mixture that embeddings are of. A topic uses some of the words, the first of them most often, and
//! has a direction. A document has a main topic and a second one, and a direction of its own. Its token is a word of one of its topics, or one that all
//! documents use, turned towards the topic and the document, with noise: what a contextual encoder makes of a word. A query is made of the
//! topics of some document, with more noise.
use rand_chacha::ChaCha8Rng;
use spandrel_index::DType;

use super::mixture::{Mixture, Recipe};
use super::model::{add_unit, encode_unit};
use super::noise::{Purpose, Skewed, below, normals, row_rng, uniform};

/// A flatter tree than that of embeddings: words are less alike than sentences.
const WORDS: Recipe = Recipe { latent: 96, variance: [0.1, 0.15, 0.25, 0.5], spread: [0.4, 1.2] };
/// Words of the vocabulary.
const WORD_COUNT: usize = 8192;
/// The first words of the vocabulary, which all documents use.
const COMMON_WORDS: usize = 192;
/// Words that a topic uses.
const TOPIC_WORDS: usize = 24;
/// Shares of tokens that are common words, and that are of the second topic.
const COMMON_SHARE: f32 = 0.2;
const SECOND_SHARE: f32 = 0.3;
/// Lengths of what a token is the sum of, where its word has length 1. Chosen so that a token of a query has about the products with the best
/// document, the tenth and a usual one that those of passages have in a real set (0.69, 0.56 and 0.24), with a hundred documents a topic.
const OF_TOPIC: f32 = 0.6;
const OF_DOCUMENT: f32 = 0.5;
const OF_NOISE: f32 = 0.35;
const OF_QUERY_NOISE: f32 = 0.4;

/// Makes the documents of one set.
#[derive(Debug)]
pub(super) struct TokenModel {
    seed: u64,
    dtype: DType,
    dim: usize,
    /// Unit vectors: of the words, then of the topics.
    words: Vec<f32>,
    topics: Vec<f32>,
    /// Words of each topic.
    topic_words: Vec<u16>,
    pick_topic: Skewed,
    pick_word: Skewed,
    pick_common: Skewed,
}

/// What a document is about.
struct Subject {
    topics: [usize; 2],
    /// Its own direction, a unit vector.
    own: Vec<f32>,
}

impl TokenModel {
    pub(super) fn new(topics: usize, dim: usize, dtype: DType, seed: u64) -> TokenModel {
        let rng = &mut row_rng(seed, Purpose::Words, 0);
        let mixture = Mixture::new(WORDS, dim, rng, |_| {});
        let (mut place, mut row) = (Vec::new(), vec![0.0; dim]);
        let mut unit_rows = |count: usize, rng: &mut ChaCha8Rng| {
            let mut rows = vec![0.0; count * dim];
            for out in rows.chunks_exact_mut(dim) {
                mixture.draw(rng, &mut place);
                row.fill(0.0);
                mixture.map(&place, &mut row);
                add_unit(out, &row, 1.0);
            }
            rows
        };
        let words = unit_rows(WORD_COUNT, rng);
        let directions = unit_rows(topics, rng);
        let own_words = (WORD_COUNT - COMMON_WORDS) as u64; // CAST: widening
        // CAST: fewer than 2^16 words
        let word = |_| (COMMON_WORDS as u64 + below(rng, own_words)) as u16;
        let topic_words = (0..topics * TOPIC_WORDS).map(word).collect();
        let [pick_topic, pick_word, pick_common] = [topics, TOPIC_WORDS, COMMON_WORDS].map(Skewed::new);
        TokenModel {
            seed,
            dtype,
            dim,
            words,
            topics: directions,
            topic_words,
            pick_topic,
            pick_word,
            pick_common,
        }
    }

    /// Tokens of a document, or of a query document: half the mean to twice the mean, 1 or more.
    pub(super) fn length(&self, purpose: Purpose, number: u64, mean: u32) -> u32 {
        let at = uniform(&mut row_rng(self.seed, purpose, number));
        // The mean of 0.5 + 1.5 x^2 over 0 to 1 is 1. CAST: at most twice a u16, and rounded
        ((mean as f32 * (0.5 + 1.5 * at * at)).round_ties_even() as u32).max(1)
    }

    /// Appends the tokens of a document.
    pub(super) fn document(&self, number: u64, mean: u32, out: &mut Vec<u8>) {
        let subject = self.subject(number);
        let mut rng = row_rng(self.seed, Purpose::Tokens, number);
        self.tokens(&subject, OF_NOISE, self.length(Purpose::Lengths, number, mean), &mut rng, out);
    }

    /// Appends the tokens of a query document that asks for the subject of one of `documents` documents.
    pub(super) fn query(&self, number: u64, documents: u64, mean: u32, out: &mut Vec<u8>) {
        let mut rng = row_rng(self.seed, Purpose::QueryTokens, number);
        let subject = self.subject(below(&mut rng, documents));
        let length = self.length(Purpose::QueryLengths, number, mean);
        self.tokens(&subject, OF_QUERY_NOISE, length, &mut rng, out);
    }

    fn subject(&self, document: u64) -> Subject {
        let mut rng = row_rng(self.seed, Purpose::Subjects, document);
        let topics = [0, 1].map(|_| self.pick_topic.pick(&mut rng));
        let (mut direction, mut own) = (vec![0.0; self.dim], vec![0.0; self.dim]);
        normals(&mut rng, &mut direction);
        add_unit(&mut own, &direction, 1.0);
        Subject { topics, own }
    }

    fn tokens(&self, subject: &Subject, noise: f32, count: u32, rng: &mut ChaCha8Rng, out: &mut Vec<u8>) {
        let (mut row, mut direction) = (vec![0.0; self.dim], vec![0.0; self.dim]);
        let of = |at: usize| at * self.dim..(at + 1) * self.dim;
        for _ in 0..count {
            let topic = subject.topics[usize::from(uniform(rng) < SECOND_SHARE)];
            let word = if uniform(rng) < COMMON_SHARE {
                self.pick_common.pick(rng)
            } else {
                usize::from(self.topic_words[topic * TOPIC_WORDS + self.pick_word.pick(rng)])
            };
            normals(rng, &mut direction);
            row.copy_from_slice(&self.words[of(word)]);
            add_unit(&mut row, &direction, noise);
            let turned = self.topics[of(topic)].iter().zip(&subject.own);
            row.iter_mut()
                .zip(turned)
                .for_each(|(x, (topic, own))| *x += OF_TOPIC * topic + OF_DOCUMENT * own);
            encode_unit(self.dtype, &mut row, out);
        }
    }
}
