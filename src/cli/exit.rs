//! The exit codes, each with the sentence that README repeats.

/// How the program ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// A step of the build failed, or the Dockerfile is wrong.
    BuildFailed = 1,
    /// The command line cannot be understood, or names something that is not there.
    Usage = 2,
    /// The configuration or the builder is wrong, or no node builds a platform.
    Config = 3,
    /// The result could not be delivered: to a registry, under a name, or to a destination.
    Publish = 4,
    /// A daemon, its node or the way to it was lost, or cannot be reached.
    Infrastructure = 5,
    /// mbuild itself is at fault.
    Internal = 70,
    /// The user or the system stopped it.
    Interrupted = 130,
}

impl Exit {
    /// The one code that stands for several failures: interruption, then a failed build,
    /// then publishing, then lost infrastructure.
    pub fn worst(codes: impl IntoIterator<Item = Exit>) -> Exit {
        const ORDER: [Exit; 7] = [
            Exit::Interrupted,
            Exit::BuildFailed,
            Exit::Publish,
            Exit::Infrastructure,
            Exit::Config,
            Exit::Usage,
            Exit::Internal,
        ];
        let codes: Vec<Exit> = codes.into_iter().collect();
        ORDER
            .into_iter()
            .find(|code| codes.contains(code))
            .unwrap_or(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_failures_the_one_that_explains_most_wins() {
        assert_eq!(Exit::worst([]), Exit::Done);
        assert_eq!(
            Exit::worst([Exit::Infrastructure, Exit::BuildFailed]),
            Exit::BuildFailed
        );
        assert_eq!(
            Exit::worst([Exit::BuildFailed, Exit::Interrupted]),
            Exit::Interrupted
        );
        assert_eq!(
            Exit::worst([Exit::Infrastructure, Exit::Publish]),
            Exit::Publish
        );
    }
}
