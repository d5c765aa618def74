//! The pages of one instance: bounded in memory and in age, each read by one pull at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use shared::domain::Mark;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::ending::with_more;
use super::page::{Form, Page, PageKey, Reader};

/// How long a pull waits for another one that reads its page.
const MAX_WAIT: Duration = Duration::from_secs(3);
/// The memory that a page takes in addition to its body and the ids that it names, in bytes.
const PAGE_OVERHEAD: usize = 1024;
/// The memory that an id takes, in bytes.
const ID_SIZE: usize = 128;

/// The limits on what is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum memory of all kept pages, in bytes. With 0, no page is kept.
    pub bytes: usize,
    /// The maximum age of a page.
    pub age: Duration,
    /// A page with fewer rows is not kept, because reading it again is cheap.
    pub min_rows: usize,
    /// A page is no longer given when the counter is this many versions beyond it, because the rest would not fit one page.
    pub max_behind: u64,
    /// The part of a page in which it may end: with 8, the page ends in its last eighth.
    pub rounded_part: usize,
}

impl Limits {
    /// The limits of a deployed function, with this much memory in bytes.
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, age: Duration::from_secs(55), min_rows: 500, max_behind: 15_000, rounded_part: 8 }
    }
}

/// The pages that an instance keeps.
#[derive(Debug)]
pub struct KeptPages {
    limits: Limits,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    pages: HashMap<PageKey, KeptPage>,
    bytes: usize,
    kept_so_far: u64,
    /// Pages that pulls are reading. Each semaphore has no permits. When it is closed because the pull is done, it wakes the pulls
    /// that wait in the order in which they came. tokio's `watch` channel would wake them in a random order, and a seed of the tests
    /// could not be played again.
    reading: HashMap<PageKey, Arc<Semaphore>>,
}

#[derive(Debug, Clone)]
struct KeptPage {
    page: Arc<Page>,
    body: Bytes,
    is_gzip: bool,
    made: Instant,
    /// The ordinal of the page: a page that was kept earlier has a lower one.
    serial: u64,
}

impl KeptPage {
    fn size(&self) -> usize {
        self.body.len() + self.page.dead_members.len() * ID_SIZE + PAGE_OVERHEAD
    }
}

/// A kept page in the form in which it is given.
#[derive(Debug)]
pub(crate) struct GivenPage {
    pub(crate) body: Bytes,
    pub(crate) is_gzip: bool,
    pub(crate) mark: Mark,
    pub(crate) rows: usize,
}

/// The result of looking for a page.
pub(crate) enum Found<'a> {
    Page(GivenPage),
    /// The pull has to read the page itself.
    None(Reading<'a>),
}

/// A pull's right to read a page. Other pulls that need the page wait until this is dropped.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    kept: &'a KeptPages,
    key: PageKey,
    /// None if another pull reads the same page and this pull has waited for it long enough.
    others: Option<Arc<Semaphore>>,
}

impl Reading<'_> {
    pub(crate) fn key(&self) -> &PageKey {
        &self.key
    }

    /// Keeps the page that was read.
    pub(crate) fn keep(self, page: Page, body: Bytes, is_gzip: bool) {
        let key = self.key.clone();
        self.kept.keep(key, page, body, is_gzip);
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(others) = &self.others {
            self.kept.memory().reading.remove(&self.key);
            others.close();
        }
    }
}

impl KeptPages {
    /// A store that keeps nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, memory: Mutex::default() }
    }

    /// A store that never keeps anything.
    pub fn off() -> Self {
        Self::new(Limits::of_bytes(0))
    }

    /// A store with as much memory as the variable `KEPT_PAGES_MEGABYTES` says. If it is unset or 0, nothing is kept.
    pub fn from_env() -> Result<Self, String> {
        let text = std::env::var("KEPT_PAGES_MEGABYTES").unwrap_or_default();
        let megabytes: Option<usize> = if text.is_empty() { Some(0) } else { text.parse().ok() };
        let bytes = megabytes.and_then(|megabytes| megabytes.checked_mul(1024 * 1024));
        let bytes = bytes.ok_or("KEPT_PAGES_MEGABYTES must be a whole number of megabytes")?;
        Ok(Self::new(Limits::of_bytes(bytes)))
    }

    /// The limits of this store.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether an answer with this many versions between `since` and the counter may be worth keeping.
    pub(crate) fn may_have(&self, versions: u64) -> bool {
        self.limits.bytes > 0 && versions >= self.limits.min_rows as u64
    }

    /// The page, or the task of reading it. If another pull is reading it, waits for that pull once.
    pub(crate) async fn find(&self, key: PageKey, reader: &Reader<'_>) -> Found<'_> {
        if let Some(page) = self.look(&key, reader) {
            return Found::Page(page);
        }
        let under_way = match self.begin(&key) {
            Ok(others) => return Found::None(Reading { kept: self, key, others: Some(others) }),
            Err(under_way) => under_way,
        };
        wait_for(under_way).await;
        match self.look(&key, reader) {
            Some(page) => Found::Page(page),
            None => Found::None(Reading { others: self.begin(&key).ok(), kept: self, key }),
        }
    }

    /// The page, if there is one for this reader.
    pub(crate) fn look(&self, key: &PageKey, reader: &Reader<'_>) -> Option<GivenPage> {
        let mut memory = self.memory();
        memory.drop_older_than(self.limits.age);
        let kept = memory.pages.get(key)?;
        let page = Arc::clone(&kept.page);
        if reader.counter.above(page.covered) > self.limits.max_behind {
            return None;
        }
        let kept = match page.form_for(reader)? {
            Form::AsMade => kept.clone(),
            // The counter never goes back, so nobody needs the page as it was.
            Form::WithMore => {
                let body = with_more(&kept.body, kept.is_gzip, page.mark.get()).ok()?;
                let cut = Arc::new(Page { is_final: false, ..(*page).clone() });
                let cut = KeptPage { page: cut, body, ..kept.clone() };
                memory.put(key.clone(), cut.clone(), self.limits.bytes);
                cut
            }
        };
        Some(GivenPage { body: kept.body, is_gzip: kept.is_gzip, mark: page.mark, rows: page.rows })
    }

    /// Keeps a page, and replaces the one with the same key if there is one. The pages that have been kept longest make room.
    pub(crate) fn keep(&self, key: PageKey, page: Page, body: Bytes, is_gzip: bool) {
        if self.limits.bytes == 0 || page.rows < self.limits.min_rows.max(1) {
            return;
        }
        let mut memory = self.memory();
        memory.drop_older_than(self.limits.age);
        memory.kept_so_far += 1;
        let (made, serial) = (Instant::now(), memory.kept_so_far);
        let kept = KeptPage { page: Arc::new(page), body, is_gzip, made, serial };
        memory.put(key, kept, self.limits.bytes);
    }

    /// Begins to read a page, or returns the semaphore of the pull that is reading it.
    fn begin(&self, key: &PageKey) -> Result<Arc<Semaphore>, Arc<Semaphore>> {
        let mut memory = self.memory();
        if let Some(under_way) = memory.reading.get(key) {
            return Err(Arc::clone(under_way));
        }
        let others = Arc::new(Semaphore::new(0));
        memory.reading.insert(key.clone(), Arc::clone(&others));
        Ok(others)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn drop_older_than(&mut self, age: Duration) {
        let old: Vec<_> =
            self.pages.iter().filter(|(_, kept)| kept.made.elapsed() > age).map(|(key, _)| key.clone()).collect();
        old.iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: &PageKey) {
        if let Some(kept) = self.pages.remove(key) {
            self.bytes -= kept.size();
        }
    }

    fn put(&mut self, key: PageKey, kept: KeptPage, max_bytes: usize) {
        self.remove(&key);
        let size = kept.size();
        if size > max_bytes {
            return;
        }
        while self.bytes + size > max_bytes {
            let Some(oldest) = self.pages.iter().min_by_key(|(_, kept)| kept.serial).map(|(key, _)| key.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
        self.bytes += size;
        self.pages.insert(key, kept);
    }
}

/// Waits until the semaphore is closed, or long enough.
async fn wait_for(under_way: Arc<Semaphore>) {
    // In either case there is nothing more to wait for.
    let _ = timeout(MAX_WAIT, under_way.acquire()).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::domain::ServerVersion;
    use shared::storage::PullMembership;

    use super::*;
    use crate::encoding::Encoding;
    use crate::testing::{mark, membership};

    fn member() -> PullMembership {
        membership(&[(1, false)])
    }

    fn key(project: &str, since: u64) -> PageKey {
        PageKey {
            project: project.parse().expect("an id"),
            skipped: vec![],
            resync_through: None,
            since: mark(since),
            without_tombstones: false,
            limit: 1000,
            encoding: Encoding::Identity,
        }
    }

    fn page(after: u64) -> Page {
        Page {
            after: mark(after),
            mark: mark(after + 10),
            begun: mark(1000),
            covered: mark(1000),
            rows: 10,
            dead_members: vec![],
            is_final: false,
        }
    }

    fn reader(membership: &PullMembership, since: u64) -> Reader<'_> {
        Reader { since: mark(since), counter: mark(1000), min_version: Mark::NOTHING, membership }
    }

    fn kept(bytes: usize) -> KeptPages {
        KeptPages::new(Limits { min_rows: 10, ..Limits::of_bytes(bytes) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_found_by_its_key_until_it_is_too_old() {
        let (kept, member) = (kept(10_000), member());
        kept.keep(key("p", 0), page(0), Bytes::from_static(b"body"), false);
        let found = |of: &PageKey| kept.look(of, &reader(&member, of.since.get())).map(|page| page.body);
        assert_eq!(found(&key("p", 0)).as_deref(), Some(&b"body"[..]));
        let own = key("p", 0);
        for other in [
            key("q", 0),
            PageKey { skipped: vec![(3, 4)], ..own.clone() },
            PageKey { resync_through: Some(ServerVersion::FIRST), ..own.clone() },
            PageKey { without_tombstones: true, ..own.clone() },
            PageKey { limit: 7, ..own.clone() },
            PageKey { encoding: Encoding::Gzip, ..own.clone() },
        ] {
            assert_eq!(found(&other), None, "{other:?}");
        }
        tokio::time::advance(Duration::from_secs(55)).await;
        assert!(found(&own).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(found(&own).is_none());
        assert_eq!(kept.memory().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_with_few_rows_is_not_kept_and_one_of_long_ago_is_not_given() {
        let (kept, member) = (kept(10_000), member());
        kept.keep(key("p", 0), Page { rows: 9, ..page(0) }, Bytes::new(), false);
        assert!(kept.look(&key("p", 0), &reader(&member, 0)).is_none());
        kept.keep(key("p", 0), page(0), Bytes::new(), false);
        let look =
            |counter| kept.look(&key("p", 0), &Reader { counter: mark(counter), ..reader(&member, 0) }).is_some();
        assert_eq!([1_000, 16_000, 16_001].map(look), [true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_if_the_store_is_off() {
        let (kept, member) = (KeptPages::off(), member());
        kept.keep(key("p", 0), Page { rows: 10_000, ..page(0) }, Bytes::new(), false);
        assert!(kept.look(&key("p", 0), &reader(&member, 0)).is_none());
        assert!(!kept.may_have(u64::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_page_is_cut_once_the_counter_has_moved_and_stays_so() {
        let (kept, member) = (kept(10_000), member());
        let last = Page { mark: mark(1000), is_final: true, ..page(0) };
        let body = Bytes::from_static(br#"{"changes":{},"timestamp":1000,"checksum":{}}"#);
        kept.keep(key("p", 0), last, body.clone(), false);
        let given = |counter| {
            kept.look(&key("p", 0), &Reader { counter: mark(counter), ..reader(&member, 0) }).map(|page| page.body)
        };
        assert_eq!(given(1000), Some(body));
        let cut = Bytes::from_static(br#"{"changes":{},"timestamp":1000,"has_more":true}"#);
        assert_eq!([1001, 1000].map(given), [Some(cut.clone()), Some(cut)]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_pull_reads_a_page_and_the_others_get_it() {
        let (kept, member) = (kept(10_000), member());
        let Found::None(reading) = kept.find(key("p", 0), &reader(&member, 0)).await else { panic!("a page") };
        let other_page = kept.find(key("p", 10), &reader(&member, 10)).await;
        assert!(matches!(other_page, Found::None(Reading { others: Some(_), .. })), "nobody reads that one");
        let reader = reader(&member, 0);
        let find = || kept.find(key("p", 0), &reader);
        let read = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            reading.keep(page(0), Bytes::from_static(b"body"), false);
        };
        let (one, other, ()) = tokio::join!(find(), find(), read);
        assert!(matches!((one, other), (Found::Page(_), Found::Page(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_that_waited_in_vain_reads_and_does_not_wait_again() {
        let (kept, member) = (kept(10_000), member());
        let Found::None(reading) = kept.find(key("p", 0), &reader(&member, 0)).await else { panic!("a page") };
        let reader = reader(&member, 0);
        let find = || kept.find(key("p", 0), &reader);
        let give_up = async { drop(reading) };
        let (one, other, ()) = tokio::join!(find(), find(), give_up);
        let (Found::None(one), Found::None(other)) = (one, other) else { panic!("a page") };
        assert_ne!(
            one.others.is_some(),
            other.others.is_some(),
            "both read, and whoever comes now waits for one of them"
        );
        // The wait is not longer than the limit either.
        let begin = Instant::now();
        assert!(matches!(find().await, Found::None(Reading { others: None, .. })));
        assert_eq!(begin.elapsed(), MAX_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn pulls_that_wait_for_a_page_go_on_in_the_order_in_which_they_came() {
        let kept = Arc::new(kept(10_000));
        let member = member();
        let Found::None(reading) = kept.find(key("p", 0), &reader(&member, 0)).await else { panic!("a page") };
        let order = Arc::new(Mutex::new(vec![]));
        let mut pulls = vec![];
        for number in 0..20 {
            let (kept, member, order) = (Arc::clone(&kept), member.clone(), Arc::clone(&order));
            pulls.push(tokio::spawn(async move {
                kept.find(key("p", 0), &reader(&member, 0)).await;
                order.lock().expect("no panic").push(number);
            }));
        }
        tokio::task::yield_now().await;
        reading.keep(page(0), Bytes::from_static(b"body"), false);
        for pull in pulls {
            pull.await.expect("no panic");
        }
        assert_eq!(*order.lock().expect("no panic"), (0..20).collect::<Vec<_>>());
    }

    proptest! {
        /// Whatever is kept, the memory never exceeds its bound, and the page that was kept last is there if it fits at all.
        #[test]
        fn memory_never_exceeds_its_bound(
            max in 0..20_000_usize,
            pages in prop::collection::vec((0..6_u64, 0..9_000_usize, 0..30_usize), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _in_runtime = runtime.enter();
            let (kept, member) = (kept(max), member());
            for (since, bytes, dead) in pages {
                let dead_members = (0..dead).map(|id| format!("memberships#{id}").parse().expect("a key")).collect();
                let page = Page { dead_members, ..page(since) };
                let size = bytes + dead * ID_SIZE + PAGE_OVERHEAD;
                kept.keep(key("p", since), page, Bytes::from(vec![0; bytes]), false);
                let memory = kept.memory();
                prop_assert!(memory.bytes <= max);
                let sum: usize = memory.pages.values().map(KeptPage::size).sum();
                prop_assert_eq!(memory.bytes, sum);
                drop(memory);
                let found = kept.look(&key("p", since), &reader(&member, since)).is_some();
                prop_assert_eq!(found, size <= max);
            }
        }
    }
}
