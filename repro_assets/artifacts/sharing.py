"""Push and pull: artifacts, versions and journal between a store and a remote.

Laws: objects go before the versions that name them, and both before the journal, in either direction; so a push or pull
that was cut off leaves nothing that names what is not there, and is simply repeated. What the sender has lost does not
travel, and is named; its versions and records do, because they are facts. What the remote has wrong is not taken, and
neither is the journal that names it. A version is claimed in a remote
as in a store: whoever comes first has the number, for ever. Where two stores claimed one number for different
artifacts, both are named, each store and the remote keep what they have, and everything else goes on. What to send is
taken down before the first object is sent, what to fetch before the remote's objects are listed, so writers need not
stop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from repro_assets.artifacts import repository, shared_journal
from repro_assets.artifacts.dropped import dropped
from repro_assets.artifacts.exchange import Exchange
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.names import DIGEST_PREFIX, NUMBERED, Version
from repro_assets.artifacts.retention import dependence
from repro_assets.artifacts.shared_claims import Claims, claims_here, send_claim, take_claim
from repro_assets.errors import AmbiguousName, CorruptRecord, InvalidValue, MissingObject, ReproError, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.journal.artifact_records import ArtifactStored
from repro_assets.journal.lines import read_line
from repro_assets.journal.merged import Form, forms, read_form
from repro_assets.journal.records import Record
from repro_assets.journal.segments import journal_at
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.fetching import receive, receive_artifacts
from repro_assets.store.remote.objects import RemoteObjects
from repro_assets.store.remote.sending import send, send_artifacts

_LOST = "repro store fsck says what needs it; repro store fsck --repair REMOTE, or repro replay RUN"
_Progress = Callable[[int], None]


def push(
    home: Home,
    address: str,
    artifacts: Sequence[Digest] | None = None,
    *,
    verify: bool = False,
    progress: _Progress | None = None,
) -> Exchange:
    """Send artifacts, and the versions that name them; without a choice everything, and the journal.

    Parameters
    ----------
    home : Home
        The store.
    address : str
        The remote's URL or folder.
    artifacts : sequence of Digest, optional
        The artifacts; all that a version or a record names if left out.
    verify : bool
        Read everything back from the remote; what is wrong there is sent once more.
    progress : callable, optional
        Told the number of objects that were sent.

    Raises
    ------
    InvalidValue, UnknownName
        If the address is none, or the bucket or folder is not there.
    MachineError
        If the remote does not answer or refuses. What arrived stays there.
    """
    remote = RemoteObjects(Bucket(address), DECODERS, home)
    done = Exchange(str(remote.bucket))
    lengths = shared_journal.lengths(home) if artifacts is None else {}
    versions = list(claims_here(home, done))
    if artifacts is None:
        wanted = [version.digest for version in versions]
        here = forms(home)
        wanted += [digest for segment in lengths for digest in _named_in(home, here[segment], lengths[segment])]
    else:
        wanted = list(artifacts)
        versions = [version for version in versions if version.digest in set(artifacts)]
    remote.refresh()
    objects = LocalObjects(home, DECODERS)
    # What was chosen by name and cannot be sent is a failure; of everything, only what there is was asked for.
    gone = dropped(home, remote, wanted) if artifacts is None else {}
    there = [digest for digest in dict.fromkeys(wanted) if digest not in gone]
    sent, whole = send_artifacts(objects, remote, there, progress, verify=verify)
    manifests = send(objects, remote, [digest for digest in gone if objects.has(digest)], progress)
    done.objects, done.bytes = sent.objects + manifests.objects, sent.bytes + manifests.bytes
    done.skipped = sent.skipped + manifests.skipped
    done.failed += _reasons({**sent.failed, **manifests.failed})
    done.evicted = _evicted(gone)
    known = Claims(remote)
    for version in versions:
        if artifacts is None or version.digest in whole:
            send_claim(known, version, done)
    known.save()
    stretches = shared_journal.stretches(remote.bucket) if lengths else {}
    for segment, length in lengths.items():
        reached = shared_journal.covered(stretches.get(segment, []))
        if reached < length:
            shared_journal.send_segment(remote.bucket, home, segment, reached, length)
            done.segments += 1
    return done


def refuse_empty(remote: RemoteObjects) -> None:
    """Refuse a place to which nobody ever pushed.

    Raises
    ------
    UnknownName
        If neither a record nor an object is there.
    """
    if not (shared_journal.stretches(remote.bucket) or any(remote.digests())):
        raise UnknownName(f"{remote.bucket} holds nothing of a store", "push to it first, or correct the address")


def pull(
    home: Home,
    address: str,
    artifacts: Sequence[str] | None = None,
    *,
    records_only: bool = False,
    progress: _Progress | None = None,
) -> Exchange:
    """Fetch artifacts, and the versions that name them; without a choice everything, and the journal.

    Parameters
    ----------
    home : Home
        The store.
    address : str
        The remote's URL or folder.
    artifacts : sequence of str, optional
        ``NAME`` (newest version not made by a trial), ``NAME:v3``, a digest, or 8 and more of the digits of one that a
        version names; everything if left out.
    records_only : bool
        Learn versions and journal, and fetch no object; a default remote gives them when they are read.
    progress : callable, optional
        Told the number of objects that have come.

    Raises
    ------
    InvalidValue, UnknownName, AmbiguousName
        If the address is none, the bucket or folder is not there or nobody ever pushed to it, or the remote has no such
        artifact.
    MachineError
        If the remote does not answer or refuses, or the store cannot be written. What had come stays.
    """
    remote = RemoteObjects(Bucket(address), DECODERS, home)
    done = Exchange(str(remote.bucket))
    claims = Claims(remote)
    growths = _growths(remote.bucket, home, done) if artifacts is None else []
    versions = [version for version in claims.read_all(done) if version is not None]
    claims.save()
    if not (versions or growths or done.failed):
        refuse_empty(remote)
    if artifacts is None:
        wanted = [version.digest for version in versions]
        wanted += [digest for growth in growths for record in _records_of(growth) for digest in _digests_of(record)]
    else:
        wanted = [_resolve(remote, versions, text) for text in artifacts]
        versions = [version for version in versions if version.digest in set(wanted)]
    whole = set(wanted)
    if not records_only:
        remote.refresh()
        if artifacts is None:
            # An earlier pull may have been for records only, or objects may have been lost since.
            ours = (digest for form in forms(home).values() for digest in _named_in(home, form))
            wanted += [digest for digest in ours if remote.places(digest)]
        arriving = (record for growth in growths for record in _records_of(growth))
        gone = dropped(home, remote, wanted, arriving) if artifacts is None else {}
        objects = LocalObjects(home, DECODERS)
        coming = [digest for digest in dict.fromkeys(wanted) if digest not in gone]
        received, whole = receive_artifacts(objects, remote, coming, progress)
        manifests = receive(objects, remote, [digest for digest in gone if remote.places(digest)], progress)
        done.objects, done.bytes = received.objects + manifests.objects, received.bytes + manifests.bytes
        done.skipped = received.skipped + manifests.skipped
        received.failed.update(manifests.failed)
        done.failed += _reasons(received.failed)
        done.evicted = _evicted(gone)
        if all(isinstance(error, MissingObject) for error in received.failed.values()) and artifacts is None:
            whole = set(wanted)
        elif artifacts is None and growths:
            done.failed.append({"name": "journal", "reason": "it names what the remote has wrong, and was not taken"})
            growths = []
        whole |= gone.keys()
    taken = [version for version in versions if version.digest in whole and take_claim(home, version, done)]
    if artifacts is not None:
        _record(home, wanted, whole, taken)
    for growth in growths:
        if shared_journal.keep_growth(home, growth):
            done.segments += 1
        else:
            done.failed.append({"name": f"journal/{growth.segment}", "reason": "a living process writes to it here"})
    return done


def _named_in(home: Home, form: Form, length: int | None = None) -> Iterator[Digest]:
    """Yield every artifact that the records of a segment name, up to a length."""
    for item, end in read_form(home, form):
        if length is not None and end > length:
            return
        if isinstance(item, Record):
            yield from _digests_of(item)


def _records_of(growth: shared_journal.Growth) -> Iterator[Record]:
    for line in growth.data.splitlines(keepends=True):
        # Damage that was in the segment when it was sent; fsck names it here as it did there.
        with contextlib.suppress(ReproError):
            yield read_line(line, growth.segment)


def _digests_of(record: Record) -> Iterator[Digest]:
    for text, _ in dependence(record.payload):
        try:
            yield Digest.parse(text)
        except InvalidValue:
            # fsck names the record.
            continue


def _growths(bucket: Bucket, home: Home, done: Exchange) -> list[shared_journal.Growth]:
    found = []
    for segment, listed in shared_journal.stretches(bucket).items():
        try:
            growth = shared_journal.fetch_growth(bucket, home, segment, listed)
        except CorruptRecord as error:
            done.failed.append({"name": f"journal/{segment}", "reason": str(error)})
            continue
        if growth is not None:
            found.append(growth)
    return found


def _resolve(remote: RemoteObjects, versions: list[Version], text: str) -> Digest:
    """Return the artifact that `text` means in a remote."""
    fitting: set[Digest] = set()
    if match := NUMBERED.fullmatch(text):
        fitting = {
            v.digest for v in versions if (v.collection, v.number) == (match["collection"], int(match["number"]))
        }
    elif any(version.collection == text for version in versions):
        ours = [version for version in versions if version.collection == text]
        fitting = {max((v for v in ours if not v.trial), default=ours[-1], key=lambda v: v.number).digest}
    elif match := DIGEST_PREFIX.fullmatch(text):
        if len(match["hex"]) == 64:
            return Digest(match["hex"])
        fitting = {version.digest for version in versions if version.digest.hex.startswith(match["hex"])}
    if len(fitting) > 1:
        raise AmbiguousName(f"{text!r} fits {len(fitting)} artifacts in {remote.bucket}", "write more of the digest")
    if not fitting:
        raise UnknownName(
            f"{remote.bucket} has no artifact named {text!r}", "NAME, NAME:v3, or a digest; push it from where it is"
        )
    return fitting.pop()


def _record(home: Home, wanted: Sequence[Digest], whole: set[Digest], taken: Sequence[Version]) -> None:
    """Record what a pull of single artifacts brought, because their journal did not come with them."""
    objects, records = LocalObjects(home, DECODERS), []
    for digest in wanted:
        if digest in whole:
            manifest = Manifest.decode(objects.read(digest))
            records.append(ArtifactStored(str(digest), manifest.kind, manifest.size, len(manifest.entries)))
    claims = [repository.record_of(version) for version in taken]
    if records or claims:
        journal_at(home.journal).append(*records, *claims)


def _reasons(failed: dict[Digest, ReproError]) -> list[dict[str, str]]:
    return [
        {
            "digest": str(digest),
            "reason": error.message,
            "remedy": _LOST if type(error) is MissingObject else error.remedy,
        }
        for digest, error in failed.items()
    ]


def _evicted(gone: dict[Digest, str]) -> list[dict[str, str]]:
    return [{"digest": str(digest), "run": run} for digest, run in gone.items()]
