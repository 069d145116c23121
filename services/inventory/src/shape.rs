//! Few shapes of statements: what is prepared once per connection stays prepared.

use uuid::Uuid;

/// The sizes of batches of rows.
pub const ROWS: [usize; 8] = [200, 100, 50, 20, 10, 5, 2, 1];
/// The sizes of lists of keys.
const KEYS: [usize; 5] = [1, 10, 50, 200, 1000];

/// Splits a number of rows into batches of these sizes.
pub fn split(mut rows: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let size = ROWS.into_iter().find(|s| *s <= rows)?;
        rows -= size;
        Some(size)
    })
}

/// Splits keys into lists of few lengths, the last filled up by repeating a key.
pub fn padded(keys: &[Uuid]) -> impl Iterator<Item = Vec<Uuid>> {
    filled(keys)
}

/// Splits values into lists of few lengths, the last filled up by repeating a value.
pub fn filled<T: Copy>(values: &[T]) -> impl Iterator<Item = Vec<T>> {
    values.chunks(1000).map(|chunk| {
        let size = KEYS.into_iter().find(|s| *s >= chunk.len()).unwrap_or(chunk.len());
        let mut list = chunk.to_vec();
        if let Some(last) = chunk.last() {
            list.resize(size, *last);
        }
        list
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_without_loss() {
        assert_eq!(split(0).count(), 0);
        assert_eq!(split(311).collect::<Vec<_>>(), [200, 100, 10, 1]);
        assert!((0..1000).all(|n| split(n).sum::<usize>() == n));
    }

    #[test]
    fn keys_are_filled_up_to_few_lengths() {
        let keys: Vec<Uuid> = (0..1003).map(Uuid::from_u128).collect();
        assert_eq!(padded(&keys).map(|k| k.len()).collect::<Vec<_>>(), [1000, 10]);
        assert_eq!(padded(&[]).count(), 0);
    }
}
