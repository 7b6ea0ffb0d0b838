//! The secrets of a cluster, and the look-out for them where they must never be.

use sha2::{Digest, Sha256};

/// Words that no log, answer or message may hold.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// Adds a word and what it is.
    pub fn add(&mut self, what: impl Into<String>, word: impl Into<String>) {
        self.0.push((what.into(), word.into()));
    }

    /// What the text gives away, by name.
    pub fn found_in(&self, text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for (what, word) in &self.0 {
            if text.contains(word.as_str()) {
                found.push(what.as_str());
            }
        }
        found
    }

    /// Panics if the text gives anything away.
    pub fn refuse(&self, place: &str, text: &str) {
        let found = self.found_in(text);
        assert!(found.is_empty(), "{place} gives away: {}", found.join(", "));
    }
}

/// What G2A's clients send in place of the secret.
pub fn g2a_api_key(client_id: &str, email: &str, secret: &str) -> String {
    let digest = Sha256::digest(format!("{client_id}{email}{secret}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_key_is_that_of_the_vendors_documentation() {
        let secret = "b0d293f6-e1d2-4629-8264-fd63b5af3207".repeat(2);
        assert_eq!(
            g2a_api_key("qdaiciDiyMaTjxMt", "sandboxapitest@g2a.com", &secret),
            "74026b3dc2c6db6a30a73e71cdb138b1e1b5eb7a97ced46689e2d28db1050875"
        );
    }

    #[test]
    fn what_is_given_away_is_told_by_name_and_not_by_itself() {
        let mut secrets = Secrets::default();
        secrets.add("the password", "hunter2");
        assert!(secrets.found_in("nothing here").is_empty());
        assert_eq!(secrets.found_in("user:hunter2@host"), ["the password"]);
    }
}
