-- Tables of the catalog. Every fact here comes from the journal or from an object that it names.
-- All times are UTC. There are no secondary indexes: they block later changes of a table and are not needed at this size.
-- The schema `journal` holds what a run's row is derived from.

CREATE SCHEMA journal;

CREATE TABLE catalog_info (
    schema_version INTEGER NOT NULL,
    schema_digest VARCHAR NOT NULL,
    revision VARCHAR NOT NULL
);
COMMENT ON TABLE catalog_info IS 'One row: what this file is.';
COMMENT ON COLUMN catalog_info.schema_version IS 'Version of the tables and of the way rows are made; another version means a rebuild.';
COMMENT ON COLUMN catalog_info.schema_digest IS 'SHA-256 over the SQL that made tables, views and macros.';
COMMENT ON COLUMN catalog_info.revision IS 'A random word, drawn again with every change; two files with one revision hold the same rows.';

CREATE TABLE segments (
    segment VARCHAR NOT NULL,
    header VARCHAR NOT NULL,
    copy_of VARCHAR,
    read_to BIGINT NOT NULL,
    records BIGINT NOT NULL,
    last_time TIMESTAMP,
    process VARCHAR,
    last_seq BIGINT NOT NULL
);
COMMENT ON TABLE segments IS 'The journal''s segments, files or merged, and how far each was read. Offsets move in the transaction that adds the rows.';
COMMENT ON COLUMN segments.segment IS 'Name of its file in the journal folder, also where it is merged.';
COMMENT ON COLUMN segments.header IS 'XXH3-128 of the first line, which tells one segment from every other.';
COMMENT ON COLUMN segments.copy_of IS 'The segment that this file is a copy of; its records count once.';
COMMENT ON COLUMN segments.read_to IS 'Bytes that have been read, up to the end of a line.';
COMMENT ON COLUMN segments.records IS 'Records among them, the header included.';
COMMENT ON COLUMN segments.last_time IS 'Greatest time of a record so far, UTC.';
COMMENT ON COLUMN segments.process IS 'alive, gone or unknown: the writing process, looked at only while a run without an end record depends on it.';
COMMENT ON COLUMN segments.last_seq IS 'Number of the last record that counts; -1 where none does.';

CREATE TABLE processes (
    segment VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    account VARCHAR,
    pid BIGINT NOT NULL,
    program VARCHAR,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE processes IS 'Processes that wrote the journal, one for each segment.';
COMMENT ON COLUMN processes.segment IS 'The segment.';
COMMENT ON COLUMN processes.host IS 'Name of the host.';
COMMENT ON COLUMN processes.account IS 'Account of the person there; empty where it was not recorded.';
COMMENT ON COLUMN processes.pid IS 'Id of the process there.';
COMMENT ON COLUMN processes.program IS 'Name of its program, without arguments.';
COMMENT ON COLUMN processes.record IS 'Id of the record.';
COMMENT ON COLUMN processes.time IS 'When it began to write, UTC.';

CREATE TABLE damages (
    kind VARCHAR NOT NULL,
    segment VARCHAR,
    byte_offset BIGINT,
    subject VARCHAR,
    reason VARCHAR NOT NULL
);
COMMENT ON TABLE damages IS 'What could not be read. Nothing here stops the projection, and nothing is left out without a row here.';
COMMENT ON COLUMN damages.kind IS 'line (bytes that are no record), record (a record with impossible values), object (bytes gone or corrupt), trace (a line of a trace file that does not read) or torn (a last line that its writer, who is gone, never finished; it was not acknowledged).';
COMMENT ON COLUMN damages.segment IS 'Segment of the line or record, or of what a merge of the journal held; or the trace file.';
COMMENT ON COLUMN damages.byte_offset IS 'Where the line begins.';
COMMENT ON COLUMN damages.subject IS 'The record or the digest.';
COMMENT ON COLUMN damages.reason IS 'What is wrong, in one line.';

CREATE TABLE journal.run_starts (
    run_id VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    segment VARCHAR NOT NULL,
    warnings VARCHAR[] NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE journal.run_starts IS 'Every start record; a run that is announced by several processes has several.';
COMMENT ON COLUMN journal.run_starts.run_id IS 'The run.';
COMMENT ON COLUMN journal.run_starts.record IS 'Id of the record, segment:number.';
COMMENT ON COLUMN journal.run_starts.segment IS 'Segment whose process announced the run.';
COMMENT ON COLUMN journal.run_starts.warnings IS 'Warnings given at the start.';
COMMENT ON COLUMN journal.run_starts.time IS 'When, UTC.';

CREATE TABLE journal.run_ends (
    run_id VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL,
    error_type VARCHAR,
    error_message VARCHAR,
    error_trace VARCHAR,
    edited_sources VARCHAR[] NOT NULL,
    warnings VARCHAR[] NOT NULL
);
COMMENT ON TABLE journal.run_ends IS 'Every end record; the latest counts.';
COMMENT ON COLUMN journal.run_ends.run_id IS 'The run.';
COMMENT ON COLUMN journal.run_ends.record IS 'Id of the record.';
COMMENT ON COLUMN journal.run_ends.time IS 'When, UTC.';
COMMENT ON COLUMN journal.run_ends.state IS 'COMPLETED, FAILED or INTERRUPTED (cancelled).';
COMMENT ON COLUMN journal.run_ends.error_type IS 'Class of the error.';
COMMENT ON COLUMN journal.run_ends.error_message IS 'Its message.';
COMMENT ON COLUMN journal.run_ends.error_trace IS 'Its trace.';
COMMENT ON COLUMN journal.run_ends.edited_sources IS 'Source files that were edited while the run was executing.';
COMMENT ON COLUMN journal.run_ends.warnings IS 'Warnings given after the start.';

CREATE TABLE journal.parent_states (
    run_id VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    job VARCHAR,
    started TIMESTAMP,
    ended TIMESTAMP,
    error_type VARCHAR,
    error_message VARCHAR,
    error_trace VARCHAR
);
COMMENT ON TABLE journal.parent_states IS 'Dagster''s own states of parent runs, as copied into the journal; a final one counts before any other.';
COMMENT ON COLUMN journal.parent_states.run_id IS 'The parent run.';
COMMENT ON COLUMN journal.parent_states.record IS 'Id of the record.';
COMMENT ON COLUMN journal.parent_states.time IS 'When it was copied, UTC.';
COMMENT ON COLUMN journal.parent_states.state IS 'RUNNING, COMPLETED, FAILED or INTERRUPTED.';
COMMENT ON COLUMN journal.parent_states.status IS 'Dagster''s word for it.';
COMMENT ON COLUMN journal.parent_states.job IS 'The job.';
COMMENT ON COLUMN journal.parent_states.started IS 'When Dagster says that it started, UTC.';
COMMENT ON COLUMN journal.parent_states.ended IS 'When Dagster says that it ended, UTC.';
COMMENT ON COLUMN journal.parent_states.error_type IS 'Class of the error that Dagster reports.';
COMMENT ON COLUMN journal.parent_states.error_message IS 'Its message.';
COMMENT ON COLUMN journal.parent_states.error_trace IS 'Its trace.';

CREATE TABLE journal.unsummarized (
    run_id VARCHAR NOT NULL
);
COMMENT ON TABLE journal.unsummarized IS 'Runs whose rows of metrics_last are being made; empty in a published file.';
COMMENT ON COLUMN journal.unsummarized.run_id IS 'The run.';

CREATE TABLE journal.read_fingerprints (
    record VARCHAR NOT NULL
);
COMMENT ON TABLE journal.read_fingerprints IS 'Which rows of fingerprint_tables have been read into fingerprints.';
COMMENT ON COLUMN journal.read_fingerprints.record IS 'Id of the record.';

CREATE TABLE journal.alias_moves (
    collection VARCHAR NOT NULL,
    alias VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    digest VARCHAR NOT NULL,
    replaces VARCHAR,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE journal.alias_moves IS 'Every move of an alias; the one that no other replaces holds, and of several such the latest.';
COMMENT ON COLUMN journal.alias_moves.collection IS 'The collection.';
COMMENT ON COLUMN journal.alias_moves.alias IS 'The alias.';
COMMENT ON COLUMN journal.alias_moves.version IS 'Version it was moved to.';
COMMENT ON COLUMN journal.alias_moves.digest IS 'Artifact it was moved to.';
COMMENT ON COLUMN journal.alias_moves.replaces IS 'Record of the move that this one replaces.';
COMMENT ON COLUMN journal.alias_moves.record IS 'Id of the record.';
COMMENT ON COLUMN journal.alias_moves.time IS 'When, UTC.';

CREATE TABLE runs (
    run_id VARCHAR NOT NULL,
    parent_run_id VARCHAR,
    run_kind VARCHAR,
    name VARCHAR,
    recipe VARCHAR,
    asset VARCHAR,
    partition VARCHAR,
    job VARCHAR,
    experiment VARCHAR,
    tags VARCHAR[],
    trial BOOLEAN,
    replay_of VARCHAR,
    state VARCHAR,
    state_source VARCHAR,
    dagster_status VARCHAR,
    seed BIGINT,
    capture_level VARCHAR,
    device VARCHAR,
    code_version VARCHAR,
    reuse_key VARCHAR,
    commit VARCHAR,
    branch VARCHAR,
    dirty BOOLEAN,
    environment VARCHAR,
    source VARCHAR,
    started_at TIMESTAMP,
    ended_at TIMESTAMP,
    seconds DOUBLE,
    error_type VARCHAR,
    error_message VARCHAR,
    error_trace VARCHAR,
    config JSON,
    mode JSON,
    settings JSON,
    plan JSON,
    warnings VARCHAR[],
    edited_sources VARCHAR[],
    host_facts JSON,
    record VARCHAR,
    segment VARCHAR
);
COMMENT ON TABLE runs IS 'One row for each execution of a recipe, and for each Dagster run that groups some.';
COMMENT ON COLUMN runs.run_id IS 'Identity of the run.';
COMMENT ON COLUMN runs.parent_run_id IS 'The Dagster run under which it was executed.';
COMMENT ON COLUMN runs.run_kind IS 'asset, parent, script, command, notebook or imported; empty where only its end is known.';
COMMENT ON COLUMN runs.name IS 'Display name.';
COMMENT ON COLUMN runs.recipe IS 'The recipe''s function.';
COMMENT ON COLUMN runs.asset IS 'Asset key that was materialized.';
COMMENT ON COLUMN runs.partition IS 'Its partition.';
COMMENT ON COLUMN runs.job IS 'Dagster''s job.';
COMMENT ON COLUMN runs.experiment IS 'Experiment that the run belongs to.';
COMMENT ON COLUMN runs.tags IS 'Tags.';
COMMENT ON COLUMN runs.trial IS 'True where its products are not to become what others load by default.';
COMMENT ON COLUMN runs.replay_of IS 'The run that this one executed again.';
COMMENT ON COLUMN runs.state IS 'RUNNING, COMPLETED, FAILED, INTERRUPTED or UNKNOWN (its process is on a host that has not been heard of, or another tool does not tell its end).';
COMMENT ON COLUMN runs.state_source IS 'record (an end record), dagster (Dagster''s final state) or process (no end is recorded: the process tells).';
COMMENT ON COLUMN runs.dagster_status IS 'Dagster''s own word for a parent run''s state.';
COMMENT ON COLUMN runs.seed IS 'Root seed.';
COMMENT ON COLUMN runs.capture_level IS 'basic, standard or complete.';
COMMENT ON COLUMN runs.device IS 'Device that it computed on.';
COMMENT ON COLUMN runs.code_version IS 'Version derived from the code that it runs.';
COMMENT ON COLUMN runs.reuse_key IS 'Key under which equal work is found again.';
COMMENT ON COLUMN runs.commit IS 'Commit of the source.';
COMMENT ON COLUMN runs.branch IS 'Branch of the source.';
COMMENT ON COLUMN runs.dirty IS 'True where the source differed from the commit.';
COMMENT ON COLUMN runs.environment IS 'Digest of the environment document.';
COMMENT ON COLUMN runs.source IS 'Digest of the source tree.';
COMMENT ON COLUMN runs.started_at IS 'Start, UTC; a parent run''s is Dagster''s, that of an imported run the other tool''s.';
COMMENT ON COLUMN runs.ended_at IS 'End, UTC; empty while there is none.';
COMMENT ON COLUMN runs.seconds IS 'From start to end.';
COMMENT ON COLUMN runs.error_type IS 'Class of the error that ended it.';
COMMENT ON COLUMN runs.error_message IS 'Message of that error.';
COMMENT ON COLUMN runs.error_trace IS 'Trace of that error.';
COMMENT ON COLUMN runs.config IS 'Configuration as resolved.';
COMMENT ON COLUMN runs.mode IS 'Settings that change bits, as asked for.';
COMMENT ON COLUMN runs.settings IS 'Settings that change bits, as found.';
COMMENT ON COLUMN runs.plan IS 'What a replay needs beside source, environment and inputs.';
COMMENT ON COLUMN runs.warnings IS 'Warnings given at the start, then those that came later, once the run has ended.';
COMMENT ON COLUMN runs.edited_sources IS 'Source files that were edited while it was executing.';
COMMENT ON COLUMN runs.host_facts IS 'What identifies the host, what the libraries that were loaded said of themselves, and which readings were missing; no part of an identity.';
COMMENT ON COLUMN runs.record IS 'Id of the start record.';
COMMENT ON COLUMN runs.segment IS 'Journal segment of the start record.';

CREATE TABLE run_imports (
    run_id VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    place VARCHAR NOT NULL,
    foreign_id VARCHAR NOT NULL,
    started_at TIMESTAMP,
    ended_at TIMESTAMP,
    details JSON NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE run_imports IS 'Runs that other tools recorded, and where each came from; of what is not here nothing is known.';
COMMENT ON COLUMN run_imports.run_id IS 'The run.';
COMMENT ON COLUMN run_imports.tool IS 'mlflow, tensorboard or dvc.';
COMMENT ON COLUMN run_imports.place IS 'File, folder or server that it came from, without credentials.';
COMMENT ON COLUMN run_imports.foreign_id IS 'Its id there.';
COMMENT ON COLUMN run_imports.started_at IS 'When it began, UTC, by that tool.';
COMMENT ON COLUMN run_imports.ended_at IS 'When it ended, UTC, by that tool.';
COMMENT ON COLUMN run_imports.details IS 'What else that tool says of where the run comes from.';
COMMENT ON COLUMN run_imports.record IS 'Id of the record.';
COMMENT ON COLUMN run_imports.time IS 'When it was imported, UTC.';

CREATE TABLE params (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    value JSON NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE params IS 'Parameters of runs; the value that was logged last.';
COMMENT ON COLUMN params.run_id IS 'The run.';
COMMENT ON COLUMN params.name IS 'Name.';
COMMENT ON COLUMN params.value IS 'Value.';
COMMENT ON COLUMN params.record IS 'Id of the record.';
COMMENT ON COLUMN params.time IS 'When it was logged, UTC.';

CREATE TABLE metrics (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    step BIGINT,
    value DOUBLE NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE metrics IS 'Every metric point.';
COMMENT ON COLUMN metrics.run_id IS 'The run.';
COMMENT ON COLUMN metrics.name IS 'Name of the metric.';
COMMENT ON COLUMN metrics.step IS 'Step; empty for a metric without one.';
COMMENT ON COLUMN metrics.value IS 'Value; may be NaN or infinite.';
COMMENT ON COLUMN metrics.time IS 'When it was logged, UTC.';

CREATE TABLE metrics_last (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    step BIGINT,
    smallest DOUBLE,
    greatest DOUBLE,
    step_of_smallest BIGINT,
    step_of_greatest BIGINT,
    points BIGINT NOT NULL
);
COMMENT ON TABLE metrics_last IS 'One row for each metric of a run: its last point, and its extremes.';
COMMENT ON COLUMN metrics_last.run_id IS 'The run.';
COMMENT ON COLUMN metrics_last.name IS 'Name of the metric.';
COMMENT ON COLUMN metrics_last.value IS 'Value at the greatest step; of points without a step, the latest.';
COMMENT ON COLUMN metrics_last.step IS 'That step.';
COMMENT ON COLUMN metrics_last.smallest IS 'Smallest value, NaN left out.';
COMMENT ON COLUMN metrics_last.greatest IS 'Greatest value, NaN left out.';
COMMENT ON COLUMN metrics_last.step_of_smallest IS 'Step of the smallest value.';
COMMENT ON COLUMN metrics_last.step_of_greatest IS 'Step of the greatest value.';
COMMENT ON COLUMN metrics_last.points IS 'Number of points.';

CREATE TABLE system_metrics (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    step BIGINT,
    value DOUBLE NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE system_metrics IS 'Every point of what the machine did meanwhile: load, memory, power.';
COMMENT ON COLUMN system_metrics.run_id IS 'The run.';
COMMENT ON COLUMN system_metrics.name IS 'Name of the reading.';
COMMENT ON COLUMN system_metrics.step IS 'Newest step that the run had logged when it was read; empty before the first.';
COMMENT ON COLUMN system_metrics.value IS 'Value.';
COMMENT ON COLUMN system_metrics.time IS 'When it was read, UTC.';

CREATE TABLE missing_readings (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE missing_readings IS 'Sensors of the machine that failed during a run, once for each.';
COMMENT ON COLUMN missing_readings.run_id IS 'The run.';
COMMENT ON COLUMN missing_readings.name IS 'Name of the reading or of the sensor.';
COMMENT ON COLUMN missing_readings.reason IS 'Why there is none.';
COMMENT ON COLUMN missing_readings.record IS 'Id of the record.';
COMMENT ON COLUMN missing_readings.time IS 'When it was recorded, UTC.';

CREATE TABLE consoles (
    run_id VARCHAR NOT NULL,
    stream VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    left_out BIGINT NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE consoles IS 'What runs wrote to stdout and stderr, where these led to files; recorded when a run ends.';
COMMENT ON COLUMN consoles.run_id IS 'The run.';
COMMENT ON COLUMN consoles.stream IS 'stdout or stderr; stdout alone where both led to one file.';
COMMENT ON COLUMN consoles.text IS 'The text, without credentials; of a long one the beginning and the end.';
COMMENT ON COLUMN consoles.size IS 'Bytes that were written.';
COMMENT ON COLUMN consoles.left_out IS 'Bytes of them that are not in the text.';
COMMENT ON COLUMN consoles.record IS 'Id of the record.';
COMMENT ON COLUMN consoles.time IS 'When the run ended, UTC.';

CREATE TABLE undeclared_inputs (
    run_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR,
    size BIGINT,
    mtime TIMESTAMP,
    count BIGINT NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE undeclared_inputs IS 'What processes of runs read that is on no record; one row for each process and name.';
COMMENT ON COLUMN undeclared_inputs.run_id IS 'The run.';
COMMENT ON COLUMN undeclared_inputs.kind IS 'file, network or entropy.';
COMMENT ON COLUMN undeclared_inputs.name IS 'Path, relative to the project in it; or host and port; or device. Empty for all of a kind that came after the first 100.';
COMMENT ON COLUMN undeclared_inputs.size IS 'Bytes of a file when it was first read.';
COMMENT ON COLUMN undeclared_inputs.mtime IS 'When a file had been changed last, UTC.';
COMMENT ON COLUMN undeclared_inputs.count IS 'How often it was opened, looked up or connected to.';
COMMENT ON COLUMN undeclared_inputs.record IS 'Id of the record.';
COMMENT ON COLUMN undeclared_inputs.time IS 'When the process or its run ended, UTC.';

CREATE TABLE notebook_cells (
    run_id VARCHAR NOT NULL,
    cells JSON NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE notebook_cells IS 'Cells that a notebook executed between the start and the end of a run; the earlier ones are in its source tree.';
COMMENT ON COLUMN notebook_cells.run_id IS 'The run.';
COMMENT ON COLUMN notebook_cells.cells IS 'The cells in the order of their execution, as nbformat has them, without outputs.';
COMMENT ON COLUMN notebook_cells.record IS 'Id of the record.';
COMMENT ON COLUMN notebook_cells.time IS 'When the run ended, UTC.';

CREATE TABLE run_traces (
    run_id VARCHAR NOT NULL,
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE run_traces IS 'The trace of each run; it is on record also where the spans were lost.';
COMMENT ON COLUMN run_traces.run_id IS 'The run.';
COMMENT ON COLUMN run_traces.trace_id IS 'Trace, 32 hexadecimal digits.';
COMMENT ON COLUMN run_traces.span_id IS 'Span of the run itself, 16 hexadecimal digits.';
COMMENT ON COLUMN run_traces.record IS 'Id of the record.';
COMMENT ON COLUMN run_traces.time IS 'When it was recorded, UTC.';

CREATE TABLE spans (
    run_id VARCHAR,
    trace_id VARCHAR NOT NULL,
    span_id VARCHAR NOT NULL,
    parent_span_id VARCHAR,
    name VARCHAR NOT NULL,
    kind VARCHAR,
    started_at TIMESTAMP NOT NULL,
    seconds DOUBLE NOT NULL,
    status VARCHAR NOT NULL,
    error VARCHAR,
    attributes JSON NOT NULL,
    file VARCHAR NOT NULL
);
COMMENT ON TABLE spans IS 'Spans that have ended, from the trace files. They may be lost, and go with a file that is deleted; nothing else depends on them.';
COMMENT ON COLUMN spans.run_id IS 'Run that it belongs to.';
COMMENT ON COLUMN spans.trace_id IS 'Trace, 32 hexadecimal digits.';
COMMENT ON COLUMN spans.span_id IS 'Span, 16 hexadecimal digits.';
COMMENT ON COLUMN spans.parent_span_id IS 'Span that it lies under; empty for the first of a trace.';
COMMENT ON COLUMN spans.name IS 'What was timed.';
COMMENT ON COLUMN spans.kind IS 'run, stage, epoch, checkpoint, asset or request; empty for a span of another library.';
COMMENT ON COLUMN spans.started_at IS 'Start, UTC.';
COMMENT ON COLUMN spans.seconds IS 'Duration.';
COMMENT ON COLUMN spans.status IS 'unset, ok or error.';
COMMENT ON COLUMN spans.error IS 'What it failed with.';
COMMENT ON COLUMN spans.attributes IS 'Its other attributes.';
COMMENT ON COLUMN spans.file IS 'Trace file that it was read from.';

CREATE TABLE trace_files (
    file VARCHAR NOT NULL,
    read_to BIGINT NOT NULL,
    spans BIGINT NOT NULL
);
COMMENT ON TABLE trace_files IS 'The trace files, one for each process, and how far each was read.';
COMMENT ON COLUMN trace_files.file IS 'File name in the folder traces.';
COMMENT ON COLUMN trace_files.read_to IS 'Bytes that have been read, up to the end of a line.';
COMMENT ON COLUMN trace_files.spans IS 'Spans in them.';

CREATE TABLE environments (
    environment VARCHAR NOT NULL,
    level VARCHAR,
    python VARCHAR,
    implementation VARCHAR,
    torch VARCHAR,
    cuda VARCHAR,
    os VARCHAR,
    cpu VARCHAR,
    logical_cores BIGINT,
    memory_bytes BIGINT,
    variables JSON,
    unavailable JSON,
    document JSON NOT NULL
);
COMMENT ON TABLE environments IS 'Environments that runs were executed in, by digest.';
COMMENT ON COLUMN environments.environment IS 'Digest of the document.';
COMMENT ON COLUMN environments.level IS 'Capture level of the document.';
COMMENT ON COLUMN environments.python IS 'Version of Python.';
COMMENT ON COLUMN environments.implementation IS 'Implementation of Python.';
COMMENT ON COLUMN environments.torch IS 'Version of torch.';
COMMENT ON COLUMN environments.cuda IS 'Version of CUDA that torch was built with.';
COMMENT ON COLUMN environments.os IS 'Operating system.';
COMMENT ON COLUMN environments.cpu IS 'Model of the CPU.';
COMMENT ON COLUMN environments.logical_cores IS 'Logical cores of the machine.';
COMMENT ON COLUMN environments.memory_bytes IS 'Memory of the machine, in bytes.';
COMMENT ON COLUMN environments.variables IS 'Environment variables that were on the allow list.';
COMMENT ON COLUMN environments.unavailable IS 'What could not be captured, and why.';
COMMENT ON COLUMN environments.document IS 'The whole document.';

CREATE TABLE packages (
    environment VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    version VARCHAR,
    editable BOOLEAN NOT NULL,
    origin VARCHAR
);
COMMENT ON TABLE packages IS 'Distributions installed in an environment.';
COMMENT ON COLUMN packages.environment IS 'Digest of the environment.';
COMMENT ON COLUMN packages.name IS 'Name of the distribution.';
COMMENT ON COLUMN packages.version IS 'Version.';
COMMENT ON COLUMN packages.editable IS 'True for an editable install.';
COMMENT ON COLUMN packages.origin IS 'Address and commit of one that came from no index.';

CREATE TABLE used_packages (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE used_packages IS 'Distributions of which a run had imported modules when it ended, in its own process or in one that it forked.';
COMMENT ON COLUMN used_packages.run_id IS 'The run.';
COMMENT ON COLUMN used_packages.name IS 'Name of the distribution.';
COMMENT ON COLUMN used_packages.version IS 'Version.';
COMMENT ON COLUMN used_packages.record IS 'Id of the record.';
COMMENT ON COLUMN used_packages.time IS 'When it was recorded, UTC.';

CREATE TABLE gpus (
    environment VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    name VARCHAR,
    memory_bytes BIGINT,
    driver VARCHAR,
    cuda_driver VARCHAR,
    compute_capability VARCHAR,
    facts JSON NOT NULL
);
COMMENT ON TABLE gpus IS 'GPUs of an environment.';
COMMENT ON COLUMN gpus.environment IS 'Digest of the environment.';
COMMENT ON COLUMN gpus.number IS 'Position, from 0.';
COMMENT ON COLUMN gpus.name IS 'Model.';
COMMENT ON COLUMN gpus.memory_bytes IS 'Total memory, in bytes.';
COMMENT ON COLUMN gpus.driver IS 'Version of the driver.';
COMMENT ON COLUMN gpus.cuda_driver IS 'CUDA version of the driver.';
COMMENT ON COLUMN gpus.compute_capability IS 'Compute capability.';
COMMENT ON COLUMN gpus.facts IS 'All that was captured.';

CREATE TABLE seeds (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE seeds IS 'Named consumers of randomness and the seeds that they derived; the name root is the root seed itself.';
COMMENT ON COLUMN seeds.run_id IS 'The run.';
COMMENT ON COLUMN seeds.name IS 'Name of the consumer.';
COMMENT ON COLUMN seeds.seed IS 'Its seed.';
COMMENT ON COLUMN seeds.record IS 'Id of the record.';
COMMENT ON COLUMN seeds.time IS 'When it was recorded, UTC.';

CREATE TABLE sources (
    run_id VARCHAR NOT NULL,
    source VARCHAR,
    commit VARCHAR,
    branch VARCHAR,
    tags VARCHAR[],
    remote VARCHAR,
    dirty BOOLEAN,
    message VARCHAR,
    left_out JSON,
    diff VARCHAR,
    record VARCHAR NOT NULL
);
COMMENT ON TABLE sources IS 'Source trees that runs were executed from, one row for each run.';
COMMENT ON COLUMN sources.run_id IS 'The run.';
COMMENT ON COLUMN sources.source IS 'Digest of the tree.';
COMMENT ON COLUMN sources.commit IS 'Commit.';
COMMENT ON COLUMN sources.branch IS 'Branch; empty where the head is detached.';
COMMENT ON COLUMN sources.tags IS 'Tags of the commit.';
COMMENT ON COLUMN sources.remote IS 'Remote, without credentials.';
COMMENT ON COLUMN sources.dirty IS 'True where the tree differed from the commit.';
COMMENT ON COLUMN sources.message IS 'Message of the commit.';
COMMENT ON COLUMN sources.left_out IS 'Files that were left out, and why.';
COMMENT ON COLUMN sources.diff IS 'Digest of the difference from the commit, new files among it; empty where there is none.';
COMMENT ON COLUMN sources.record IS 'Id of the start record.';

CREATE TABLE artifacts (
    digest VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    readable BOOLEAN NOT NULL,
    facts JSON,
    record VARCHAR NOT NULL,
    stored_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE artifacts IS 'Artifacts whose manifest and objects were durable when they were recorded.';
COMMENT ON COLUMN artifacts.digest IS 'Identity: the digest of the manifest.';
COMMENT ON COLUMN artifacts.kind IS 'tensors, table, tree, json, bytes or segments.';
COMMENT ON COLUMN artifacts.size IS 'Bytes of all parts, uncompressed.';
COMMENT ON COLUMN artifacts.parts IS 'Number of parts.';
COMMENT ON COLUMN artifacts.readable IS 'True once the manifest has been read; its entries are in manifest_entries then.';
COMMENT ON COLUMN artifacts.facts IS 'What the manifest says about the whole.';
COMMENT ON COLUMN artifacts.record IS 'Id of the first record.';
COMMENT ON COLUMN artifacts.stored_at IS 'When it was first recorded, UTC.';

CREATE TABLE manifest_entries (
    digest VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    objects VARCHAR[] NOT NULL,
    facts JSON NOT NULL
);
COMMENT ON TABLE manifest_entries IS 'Parts of artifacts.';
COMMENT ON COLUMN manifest_entries.digest IS 'The artifact.';
COMMENT ON COLUMN manifest_entries.number IS 'Position, from 0.';
COMMENT ON COLUMN manifest_entries.name IS 'Path of a file, name of a tensor, or role.';
COMMENT ON COLUMN manifest_entries.size IS 'Bytes, uncompressed.';
COMMENT ON COLUMN manifest_entries.objects IS 'Digests of its bytes, one after the other.';
COMMENT ON COLUMN manifest_entries.facts IS 'Type, shape, executable bit and the like.';

CREATE TABLE run_inputs (
    run_id VARCHAR NOT NULL,
    slot VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    asset VARCHAR,
    partition VARCHAR,
    made_by VARCHAR,
    pinned BOOLEAN NOT NULL,
    read_as VARCHAR,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE run_inputs IS 'What runs read.';
COMMENT ON COLUMN run_inputs.run_id IS 'The run.';
COMMENT ON COLUMN run_inputs.slot IS 'Name of the input.';
COMMENT ON COLUMN run_inputs.digest IS 'The artifact.';
COMMENT ON COLUMN run_inputs.asset IS 'Asset key it came from.';
COMMENT ON COLUMN run_inputs.partition IS 'Partition it came from.';
COMMENT ON COLUMN run_inputs.made_by IS 'Run that wrote it, where known.';
COMMENT ON COLUMN run_inputs.pinned IS 'True where the person chose it.';
COMMENT ON COLUMN run_inputs.read_as IS 'Version as which it was read, collection:vN, where no run wrote it.';
COMMENT ON COLUMN run_inputs.record IS 'Id of the record.';
COMMENT ON COLUMN run_inputs.time IS 'When it was loaded, UTC.';

CREATE TABLE run_outputs (
    run_id VARCHAR NOT NULL,
    slot VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    asset VARCHAR,
    partition VARCHAR,
    collection VARCHAR,
    version BIGINT,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE run_outputs IS 'What runs wrote.';
COMMENT ON COLUMN run_outputs.run_id IS 'The run.';
COMMENT ON COLUMN run_outputs.slot IS 'Name of the output.';
COMMENT ON COLUMN run_outputs.digest IS 'The artifact.';
COMMENT ON COLUMN run_outputs.name IS 'Display name.';
COMMENT ON COLUMN run_outputs.asset IS 'Asset key.';
COMMENT ON COLUMN run_outputs.partition IS 'Partition.';
COMMENT ON COLUMN run_outputs.collection IS 'Collection in which it has a version.';
COMMENT ON COLUMN run_outputs.version IS 'That version.';
COMMENT ON COLUMN run_outputs.record IS 'Id of the record.';
COMMENT ON COLUMN run_outputs.time IS 'When it was stored, UTC.';

CREATE TABLE reused_work (
    parent_run_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    asset VARCHAR,
    partition VARCHAR,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE reused_work IS 'Work that a parent run needed and an earlier run had done, so that it has no run under this parent.';
COMMENT ON COLUMN reused_work.parent_run_id IS 'The parent run that needed it.';
COMMENT ON COLUMN reused_work.run_id IS 'The run that had done it.';
COMMENT ON COLUMN reused_work.asset IS 'Asset for which it was needed; the run may have made it as another.';
COMMENT ON COLUMN reused_work.partition IS 'Its partition.';
COMMENT ON COLUMN reused_work.record IS 'Id of the record.';
COMMENT ON COLUMN reused_work.time IS 'When, UTC.';

CREATE TABLE versions (
    collection VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    digest VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    run_id VARCHAR,
    trial BOOLEAN NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE versions IS 'Claimed versions of collections.';
COMMENT ON COLUMN versions.collection IS 'The collection.';
COMMENT ON COLUMN versions.version IS 'The version, from 1.';
COMMENT ON COLUMN versions.digest IS 'The artifact, for ever.';
COMMENT ON COLUMN versions.kind IS 'Kind of the artifact.';
COMMENT ON COLUMN versions.run_id IS 'Run that claimed it; empty where a person put it.';
COMMENT ON COLUMN versions.trial IS 'True where a trial claimed it.';
COMMENT ON COLUMN versions.record IS 'Id of the first record.';
COMMENT ON COLUMN versions.time IS 'When, UTC.';

CREATE TABLE aliases (
    collection VARCHAR NOT NULL,
    alias VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    digest VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE aliases IS 'Where aliases point now.';
COMMENT ON COLUMN aliases.collection IS 'The collection.';
COMMENT ON COLUMN aliases.alias IS 'The alias.';
COMMENT ON COLUMN aliases.version IS 'Version it points to.';
COMMENT ON COLUMN aliases.digest IS 'Artifact it points to.';
COMMENT ON COLUMN aliases.record IS 'Id of the move that holds.';
COMMENT ON COLUMN aliases.time IS 'When it was moved, UTC.';

CREATE TABLE deleted_runs (
    run_id VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE deleted_runs IS 'Runs that were deleted: nothing is kept for their sake; their rows stay.';
COMMENT ON COLUMN deleted_runs.run_id IS 'The run.';
COMMENT ON COLUMN deleted_runs.record IS 'Id of the record.';
COMMENT ON COLUMN deleted_runs.time IS 'When, UTC.';

CREATE TABLE tag_changes (
    run_id VARCHAR NOT NULL,
    added VARCHAR[] NOT NULL,
    removed VARCHAR[] NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE tag_changes IS 'Every change of tags that a person made after a run began; run_tags has what holds.';
COMMENT ON COLUMN tag_changes.run_id IS 'The run.';
COMMENT ON COLUMN tag_changes.added IS 'Tags that it got.';
COMMENT ON COLUMN tag_changes.removed IS 'Tags that were taken away.';
COMMENT ON COLUMN tag_changes.record IS 'Id of the record; the view audit says who made it.';
COMMENT ON COLUMN tag_changes.time IS 'When, UTC.';

CREATE TABLE notes (
    run_id VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE notes IS 'Every note that was written about a run; latest_notes has what holds.';
COMMENT ON COLUMN notes.run_id IS 'The run.';
COMMENT ON COLUMN notes.text IS 'The note; an empty one takes the one before it away.';
COMMENT ON COLUMN notes.record IS 'Id of the record; the view audit says who wrote it.';
COMMENT ON COLUMN notes.time IS 'When, UTC.';

CREATE TABLE deleted_versions (
    collection VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    digest VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE deleted_versions IS 'Versions that were deleted; their numbers are never given again.';
COMMENT ON COLUMN deleted_versions.collection IS 'The collection.';
COMMENT ON COLUMN deleted_versions.version IS 'The number.';
COMMENT ON COLUMN deleted_versions.digest IS 'The artifact that it was.';
COMMENT ON COLUMN deleted_versions.record IS 'Id of the record.';
COMMENT ON COLUMN deleted_versions.time IS 'When, UTC.';

CREATE TABLE deleted_checkpoints (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE deleted_checkpoints IS 'Checkpoints that were deleted while their run was kept.';
COMMENT ON COLUMN deleted_checkpoints.run_id IS 'The run.';
COMMENT ON COLUMN deleted_checkpoints.name IS 'Name of the checkpoint.';
COMMENT ON COLUMN deleted_checkpoints.digest IS 'The artifact that it was.';
COMMENT ON COLUMN deleted_checkpoints.record IS 'Id of the record.';
COMMENT ON COLUMN deleted_checkpoints.time IS 'When, UTC.';

CREATE TABLE evictions (
    digest VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    replay VARCHAR NOT NULL,
    supersedes VARCHAR[] NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE evictions IS 'Artifacts whose bytes were dropped because a replay makes them again. They may have been rebuilt since.';
COMMENT ON COLUMN evictions.digest IS 'The artifact.';
COMMENT ON COLUMN evictions.run_id IS 'Run whose replay makes it again.';
COMMENT ON COLUMN evictions.replay IS 'Id of the replay record that shows it.';
COMMENT ON COLUMN evictions.supersedes IS 'Ids of the records of its storing that hold no more.';
COMMENT ON COLUMN evictions.record IS 'Id of the record.';
COMMENT ON COLUMN evictions.time IS 'When, UTC.';

CREATE TABLE checkpoints (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    checkpoint_type VARCHAR NOT NULL,
    identifier VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    metrics JSON NOT NULL,
    parent VARCHAR,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE checkpoints IS 'Checkpoints of runs.';
COMMENT ON COLUMN checkpoints.run_id IS 'The run.';
COMMENT ON COLUMN checkpoints.name IS 'Display name, checkpoint_<type>_<id>.';
COMMENT ON COLUMN checkpoints.checkpoint_type IS 'Type.';
COMMENT ON COLUMN checkpoints.identifier IS 'Id within the type.';
COMMENT ON COLUMN checkpoints.digest IS 'The artifact.';
COMMENT ON COLUMN checkpoints.step IS 'Step after which it was saved.';
COMMENT ON COLUMN checkpoints.metrics IS 'Metrics at that step.';
COMMENT ON COLUMN checkpoints.parent IS 'Digest of the checkpoint before it in this run, or of the one that the run was resumed from.';
COMMENT ON COLUMN checkpoints.record IS 'Id of the record.';
COMMENT ON COLUMN checkpoints.time IS 'When, UTC.';

CREATE TABLE resumes (
    run_id VARCHAR NOT NULL,
    resumed_run_id VARCHAR NOT NULL,
    checkpoint VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE resumes IS 'Which runs go on from a checkpoint of another run.';
COMMENT ON COLUMN resumes.run_id IS 'The run that goes on.';
COMMENT ON COLUMN resumes.resumed_run_id IS 'The run that saved the checkpoint.';
COMMENT ON COLUMN resumes.checkpoint IS 'Name of the checkpoint.';
COMMENT ON COLUMN resumes.digest IS 'The artifact, which is also an input of the run, in the slot resume.';
COMMENT ON COLUMN resumes.step IS 'Step after which it was saved; the run begins with the next one.';
COMMENT ON COLUMN resumes.record IS 'Id of the record.';
COMMENT ON COLUMN resumes.time IS 'When, UTC.';

CREATE TABLE experience_inserts (
    run_id VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    first BIGINT NOT NULL,
    count BIGINT NOT NULL,
    position BIGINT NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE experience_inserts IS 'Experiences that online learners took in, one row for each insert, on the disk before the update that used it.';
COMMENT ON COLUMN experience_inserts.run_id IS 'The run.';
COMMENT ON COLUMN experience_inserts.digest IS 'Artifact with the experiences.';
COMMENT ON COLUMN experience_inserts.first IS 'Id of the first one.';
COMMENT ON COLUMN experience_inserts.count IS 'How many; their ids follow each other.';
COMMENT ON COLUMN experience_inserts.position IS 'Position of the stream.';
COMMENT ON COLUMN experience_inserts.record IS 'Id of the record.';
COMMENT ON COLUMN experience_inserts.time IS 'When, UTC.';

CREATE TABLE experience_snapshots (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    position BIGINT NOT NULL,
    held BIGINT NOT NULL,
    new BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE experience_snapshots IS 'Snapshots of experience buffers.';
COMMENT ON COLUMN experience_snapshots.run_id IS 'The run.';
COMMENT ON COLUMN experience_snapshots.name IS 'Display name, experience_buffer_<timestamp>.';
COMMENT ON COLUMN experience_snapshots.digest IS 'The artifact.';
COMMENT ON COLUMN experience_snapshots.step IS 'Updates made before it.';
COMMENT ON COLUMN experience_snapshots.position IS 'Position of the stream.';
COMMENT ON COLUMN experience_snapshots.held IS 'Experiences that the buffer holds.';
COMMENT ON COLUMN experience_snapshots.new IS 'Experiences inserted since the snapshot before.';
COMMENT ON COLUMN experience_snapshots.reason IS 'interval, count or demand.';
COMMENT ON COLUMN experience_snapshots.record IS 'Id of the record.';
COMMENT ON COLUMN experience_snapshots.time IS 'When, UTC.';

CREATE TABLE evaluations (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    metrics JSON NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE evaluations IS 'Evaluations of models on data sets.';
COMMENT ON COLUMN evaluations.run_id IS 'The run that evaluated.';
COMMENT ON COLUMN evaluations.name IS 'Display name.';
COMMENT ON COLUMN evaluations.model IS 'The model, as recorded.';
COMMENT ON COLUMN evaluations.dataset IS 'The data set, as recorded.';
COMMENT ON COLUMN evaluations.digest IS 'Artifact with the whole result.';
COMMENT ON COLUMN evaluations.metrics IS 'Key numbers.';
COMMENT ON COLUMN evaluations.record IS 'Id of the record.';
COMMENT ON COLUMN evaluations.time IS 'When, UTC.';

CREATE TABLE curriculum (
    run_id VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    from_stage VARCHAR,
    to_stage VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    metrics JSON NOT NULL,
    mix JSON NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE curriculum IS 'How hard the examples of a training were, change by change.';
COMMENT ON COLUMN curriculum.run_id IS 'The run that trained.';
COMMENT ON COLUMN curriculum.step IS 'Updates made when it was decided.';
COMMENT ON COLUMN curriculum.from_stage IS 'Stage before; null at the start.';
COMMENT ON COLUMN curriculum.to_stage IS 'Stage from then on.';
COMMENT ON COLUMN curriculum.reason IS 'start, criteria, max_steps, rollback, pace or losses.';
COMMENT ON COLUMN curriculum.metrics IS 'Figures that decided, as smoothed.';
COMMENT ON COLUMN curriculum.mix IS 'Share of simple, medium and hard examples from then on.';
COMMENT ON COLUMN curriculum.record IS 'Id of the record.';
COMMENT ON COLUMN curriculum.time IS 'When, UTC.';

CREATE TABLE events (
    run_id VARCHAR NOT NULL,
    event VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    details JSON NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE events IS 'What happened in trainings: changes of phase, seeds of a growing network that germinate.';
COMMENT ON COLUMN events.run_id IS 'The run.';
COMMENT ON COLUMN events.event IS 'Kind of event.';
COMMENT ON COLUMN events.step IS 'Step after which it happened.';
COMMENT ON COLUMN events.details IS 'Figures and names; which ones depends on the kind.';
COMMENT ON COLUMN events.record IS 'Id of the record.';
COMMENT ON COLUMN events.time IS 'When, UTC.';

CREATE TABLE fingerprints (
    run_id VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    quantity VARCHAR NOT NULL,
    tensor VARCHAR NOT NULL,
    xxh3 VARCHAR NOT NULL
);
COMMENT ON TABLE fingerprints IS 'XXH3-128 of what a training held after a step.';
COMMENT ON COLUMN fingerprints.run_id IS 'The run.';
COMMENT ON COLUMN fingerprints.step IS 'The step; 0 is before the first one.';
COMMENT ON COLUMN fingerprints.quantity IS 'batch, rng, data, output, loss, gradient or parameter.';
COMMENT ON COLUMN fingerprints.tensor IS 'Name of the tensor.';
COMMENT ON COLUMN fingerprints.xxh3 IS 'XXH3-128: xxh3-128: and 32 hexadecimal digits.';

CREATE TABLE fingerprint_tables (
    run_id VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    count BIGINT NOT NULL,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE fingerprint_tables IS 'The tables in which runs keep their fingerprints.';
COMMENT ON COLUMN fingerprint_tables.run_id IS 'The run.';
COMMENT ON COLUMN fingerprint_tables.digest IS 'The artifact, a table.';
COMMENT ON COLUMN fingerprint_tables.first IS 'Its smallest step.';
COMMENT ON COLUMN fingerprint_tables.last IS 'Its greatest step.';
COMMENT ON COLUMN fingerprint_tables.count IS 'Its rows.';
COMMENT ON COLUMN fingerprint_tables.record IS 'Id of the record.';
COMMENT ON COLUMN fingerprint_tables.time IS 'When, UTC.';

CREATE TABLE checks (
    name VARCHAR NOT NULL,
    passed BOOLEAN NOT NULL,
    run_id VARCHAR,
    asset VARCHAR,
    partition VARCHAR,
    severity VARCHAR NOT NULL,
    details JSON NOT NULL,
    parent_run_id VARCHAR,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE checks IS 'Answers of checks.';
COMMENT ON COLUMN checks.name IS 'The check.';
COMMENT ON COLUMN checks.passed IS 'Its answer.';
COMMENT ON COLUMN checks.run_id IS 'Run it is about.';
COMMENT ON COLUMN checks.asset IS 'Asset it is about.';
COMMENT ON COLUMN checks.partition IS 'Partition it is about.';
COMMENT ON COLUMN checks.severity IS 'ERROR or WARN.';
COMMENT ON COLUMN checks.details IS 'Reasons and numbers.';
COMMENT ON COLUMN checks.parent_run_id IS 'Dagster run in which it was made.';
COMMENT ON COLUMN checks.record IS 'Id of the record.';
COMMENT ON COLUMN checks.time IS 'When, UTC.';

CREATE TABLE replays (
    original_run VARCHAR NOT NULL,
    replay_run VARCHAR,
    verdict VARCHAR NOT NULL,
    reason VARCHAR,
    products JSON NOT NULL,
    differences JSON NOT NULL,
    metrics JSON NOT NULL,
    seconds DOUBLE,
    tolerance JSON,
    record VARCHAR NOT NULL,
    time TIMESTAMP NOT NULL
);
COMMENT ON TABLE replays IS 'Replays and their verdicts.';
COMMENT ON COLUMN replays.original_run IS 'Run that was executed again.';
COMMENT ON COLUMN replays.replay_run IS 'The execution.';
COMMENT ON COLUMN replays.verdict IS 'identical, equivalent, diverged or not_comparable.';
COMMENT ON COLUMN replays.reason IS 'Why, where it is not plain.';
COMMENT ON COLUMN replays.products IS 'Name, verdict and both digests of each product; of other bits what differs.';
COMMENT ON COLUMN replays.differences IS 'Settings that differ.';
COMMENT ON COLUMN replays.metrics IS 'Metrics of both.';
COMMENT ON COLUMN replays.seconds IS 'How long it took.';
COMMENT ON COLUMN replays.tolerance IS 'Within which other bits are equivalent.';
COMMENT ON COLUMN replays.record IS 'Id of the record.';
COMMENT ON COLUMN replays.time IS 'When, UTC.';
