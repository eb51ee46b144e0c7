//! The exit codes, each with the sentence that README repeats.

/// How the program ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// A step of the build failed, or the Dockerfile is wrong.
    BuildFailed,
    /// The command line cannot be understood, or names something that is not there.
    Usage,
    /// The configuration or the builder is wrong, or no node builds a platform.
    Config,
    /// The result could not be delivered: to a registry, under a name, or to a destination.
    Publish,
    /// A daemon, its node or the way to it was lost, or cannot be reached.
    Infrastructure,
    /// mbuild itself is at fault.
    Internal,
    /// The user or the system stopped it.
    Interrupted,
    /// What a frontend was asked has a status of its own.
    Answer(u8),
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::BuildFailed => 1,
            Exit::Usage => 2,
            Exit::Config => 3,
            Exit::Publish => 4,
            Exit::Infrastructure => 5,
            Exit::Internal => 70,
            Exit::Interrupted => 130,
            Exit::Answer(status) => status,
        }
    }

    /// The code of an answer's own status.
    pub fn of_answer(status: u8) -> Exit {
        match status {
            0 => Exit::Done,
            status => Exit::Answer(status),
        }
    }

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
