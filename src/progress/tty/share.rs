//! Divides rows among those who want some.

/// Gives each as much as it wants, or divides what there is as evenly as possible.
///
/// The answer's sum is at most `room`; what is left over of an uneven division goes to
/// those that come first.
pub(super) fn share(wanted: &[usize], room: usize) -> Vec<usize> {
    let mut given = vec![0; wanted.len()];
    let mut left = room;
    loop {
        let hungry: Vec<_> = (0..wanted.len())
            .filter(|one| given[*one] < wanted[*one])
            .collect();
        if hungry.is_empty() || left == 0 {
            return given;
        }
        let portion = (left / hungry.len()).max(1);
        for one in hungry.into_iter().take(left) {
            let more = portion.min(wanted[one] - given[one]).min(left);
            given[one] += more;
            left -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_divided_evenly() {
        assert_eq!(share(&[], 5), [0; 0]);
        assert_eq!(share(&[1, 2], 5), [1, 2]);
        assert_eq!(share(&[9, 9], 5), [3, 2]);
        assert_eq!(share(&[1, 9, 9], 5), [1, 2, 2]);
        assert_eq!(share(&[9, 9, 9], 2), [1, 1, 0]);
        assert_eq!(share(&[0, 9], 0), [0, 0]);
        assert_eq!(share(&[usize::MAX, 1], 100), [99, 1]);
    }
}
