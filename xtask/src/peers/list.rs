//! The peers, and how each is started. Their settings are in their drivers.

pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) driver: Driver,
    /// What the driver is told, where one driver has several settings.
    pub(super) variant: &'static str,
    /// The jobs of a burn-down are divided by this, so that a slow peer takes no quarter of an hour.
    pub(super) divisor: u64,
}

#[derive(Clone, Copy)]
pub(super) enum Driver {
    /// A package of bench/peers/rust.
    Rust(&'static str),
    /// A file of bench/peers/node.
    Node(&'static str),
    /// A file of bench/peers/python.
    Python(&'static str),
}

pub(super) const PEERS: [Peer; 8] = [
    Peer {
        name: "apalis-default",
        driver: Driver::Rust("peer-apalis-postgres"),
        variant: "default",
        divisor: 50,
    },
    Peer {
        name: "apalis-best",
        driver: Driver::Rust("peer-apalis-postgres"),
        variant: "best",
        divisor: 1,
    },
    Peer {
        name: "graphile-worker",
        driver: Driver::Node("graphile-worker.mjs"),
        variant: "",
        divisor: 1,
    },
    Peer {
        name: "graphile-worker-rs",
        driver: Driver::Rust("peer-graphile-worker"),
        variant: "",
        divisor: 1,
    },
    Peer {
        name: "pg-boss",
        driver: Driver::Node("pg-boss.mjs"),
        variant: "",
        divisor: 1,
    },
    Peer {
        name: "river-rs",
        driver: Driver::Rust("peer-riverqueue"),
        variant: "",
        divisor: 1,
    },
    Peer {
        name: "awa",
        driver: Driver::Rust("peer-awa"),
        variant: "",
        divisor: 1,
    },
    Peer {
        name: "procrastinate",
        driver: Driver::Python("procrastinate_driver.py"),
        variant: "",
        divisor: 20,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::root;

    #[test]
    fn every_driver_is_there() {
        for peer in &PEERS {
            let path = match peer.driver {
                Driver::Rust(package) => {
                    let folder = package.trim_start_matches("peer-");
                    format!("rust/{folder}/src/main.rs")
                }
                Driver::Node(file) => format!("node/{file}"),
                Driver::Python(file) => format!("python/{file}"),
            };
            let path = root().join("bench/peers").join(path);
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
