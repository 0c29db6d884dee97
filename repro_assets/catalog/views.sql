-- Views and macros. They travel in the file, so every DuckDB client has them.

CREATE MACRO only_one(known, given, what) AS
CASE
    WHEN list_contains(known, given) THEN given
    WHEN len(known) = 1 THEN known[1]
    WHEN len(known) = 0 THEN error(concat('there is no ', what, ' ', given, '; write its id or 8 letters of it or more'))
    ELSE error(concat(len(known), ' of them begin so: ', what, ' ', given, '; write more of it'))
END;
CREATE MACRO only_run(known, given) AS
CASE
    WHEN list_contains(known, given) THEN given
    WHEN len(known) = 1 THEN known[1]
    WHEN len(known) = 0 THEN error(concat('there is no run ', given, '; write its id, 8 letters of it or more, or its name'))
    ELSE error(concat(len(known), ' runs are called so, or begin so: ', given, '; write an id'))
END;
CREATE MACRO answers_to(id, called, given) AS id = given OR called = given OR (length(given) >= 8 AND starts_with(id, given));
CREATE MACRO run_called(given) AS (
    SELECT only_run(coalesce(list(run_id), []), given) FROM runs WHERE answers_to(run_id, name, given)
);

CREATE VIEW curves AS
WITH RECURSIVE line AS (
    SELECT run_id, run_id AS logged_by, NULL::BIGINT AS up_to
    FROM (SELECT run_id FROM metrics UNION SELECT run_id FROM resumes)
    -- UNION, not UNION ALL: it ends also where damaged records make two runs continue each other.
    UNION
    SELECT l.run_id, r.resumed_run_id, least(r.step, coalesce(l.up_to, r.step))
    FROM line l JOIN resumes r ON r.run_id = l.logged_by
)
SELECT l.run_id, m.name, m.step, m.value, m.time, l.logged_by
FROM line l JOIN metrics m ON m.run_id = l.logged_by
WHERE l.up_to IS NULL OR m.step <= l.up_to;
COMMENT ON VIEW curves IS 'Metric points of runs with those of the runs that they go on from, each step once: of a run that was continued, the points up to the step of the checkpoint.';
COMMENT ON COLUMN curves.run_id IS 'The run whose curve it is.';
COMMENT ON COLUMN curves.name IS 'Name of the metric.';
COMMENT ON COLUMN curves.step IS 'Step; empty only for a point of the run itself.';
COMMENT ON COLUMN curves.value IS 'Value; may be NaN or infinite.';
COMMENT ON COLUMN curves.time IS 'When it was logged, UTC.';
COMMENT ON COLUMN curves.logged_by IS 'The run that logged it: this one, or one that it goes on from.';

CREATE MACRO curve(run) AS TABLE
WITH RECURSIVE line AS (
    SELECT run_called(run) AS logged_by, NULL::BIGINT AS up_to
    UNION
    SELECT r.resumed_run_id, least(r.step, coalesce(l.up_to, r.step)) FROM line l JOIN resumes r ON r.run_id = l.logged_by
)
SELECT m.name, m.step, m.value, m.time, l.logged_by
FROM line l JOIN metrics m ON m.run_id = l.logged_by
WHERE l.up_to IS NULL OR m.step <= l.up_to;
COMMENT ON MACRO TABLE curve IS 'The rows of curves of one run, without looking at any other; a run is an id, 8 letters or more that only one begins with, or a name that only one has.';

CREATE VIEW system_summary AS
SELECT run_id, name, avg(value) AS mean, max(value) AS greatest, count(*) AS samples
FROM system_metrics
WHERE NOT isnan(value)
GROUP BY run_id, name;
COMMENT ON VIEW system_summary IS 'One row for each reading of a run: its mean and its maximum.';
COMMENT ON COLUMN system_summary.run_id IS 'The run.';
COMMENT ON COLUMN system_summary.name IS 'Name of the reading.';
COMMENT ON COLUMN system_summary.mean IS 'Mean of all samples.';
COMMENT ON COLUMN system_summary.greatest IS 'Greatest value.';
COMMENT ON COLUMN system_summary.samples IS 'Number of samples.';

CREATE VIEW hardware AS
SELECT
    e.environment,
    e.cpu,
    (SELECT string_agg(g.name, ', ' ORDER BY g.number) FROM gpus g WHERE g.environment = e.environment) AS gpu
FROM environments e;
COMMENT ON VIEW hardware IS 'Processors of an environment in one line each.';
COMMENT ON COLUMN hardware.environment IS 'Digest of the environment.';
COMMENT ON COLUMN hardware.cpu IS 'Model of the CPU.';
COMMENT ON COLUMN hardware.gpu IS 'Models of the GPUs; empty where there is none.';

CREATE VIEW run_tags AS
WITH said AS (
    SELECT run_id, unnest(tags) AS tag, true AS has, 0 AS place, NULL::TIMESTAMP AS time, record FROM runs
    UNION ALL SELECT run_id, unnest(added), true, 1, time, record FROM tag_changes
    UNION ALL SELECT run_id, unnest(removed), false, 1, time, record FROM tag_changes
)
SELECT run_id, tag FROM said GROUP BY run_id, tag
HAVING last(has ORDER BY place, time, length(record), record);
COMMENT ON VIEW run_tags IS 'Tags that runs have now: those they began with, and what was changed since.';
COMMENT ON COLUMN run_tags.run_id IS 'The run.';
COMMENT ON COLUMN run_tags.tag IS 'The tag.';

CREATE VIEW latest_notes AS
SELECT run_id, nullif(last(text ORDER BY time, length(record), record), '') AS note FROM notes GROUP BY run_id;
COMMENT ON VIEW latest_notes IS 'The note that each run has now.';
COMMENT ON COLUMN latest_notes.run_id IS 'The run.';
COMMENT ON COLUMN latest_notes.note IS 'The note; empty where the last one was taken away.';

-- Lists are sorted after they are made: an aggregate with an order takes ten times as long.
CREATE VIEW runs_wide AS
SELECT
    r.* REPLACE (
        CASE WHEN r.run_id IN (SELECT run_id FROM tag_changes) THEN t.tags ELSE r.tags END AS tags
    ),
    w.note,
    p.params,
    m.metrics,
    s.system_mean,
    s.system_max,
    i.inputs,
    o.outputs,
    e.python,
    e.torch,
    h.cpu,
    h.gpu,
    r.run_id IN (SELECT run_id FROM deleted_runs) AS deleted
FROM runs r
LEFT JOIN (
    SELECT run_id, list_sort(list(tag)) AS tags FROM run_tags SEMI JOIN tag_changes USING (run_id) GROUP BY run_id
) t USING (run_id)
LEFT JOIN latest_notes w USING (run_id)
LEFT JOIN (SELECT run_id, map_from_entries(list_sort(list((name, value)))) AS params FROM params GROUP BY run_id) p
    USING (run_id)
LEFT JOIN (
    SELECT run_id, map_from_entries(list_sort(list((name, value)))) AS metrics FROM metrics_last GROUP BY run_id
) m USING (run_id)
LEFT JOIN (
    SELECT run_id, map_from_entries(list_sort(list((name, mean)))) AS system_mean,
        map_from_entries(list_sort(list((name, greatest)))) AS system_max
    FROM system_summary GROUP BY run_id
) s USING (run_id)
LEFT JOIN (SELECT run_id, list_sort(list(DISTINCT digest)) AS inputs FROM run_inputs GROUP BY run_id) i
    USING (run_id)
LEFT JOIN (SELECT run_id, list_sort(list(DISTINCT name)) AS outputs FROM run_outputs GROUP BY run_id) o
    USING (run_id)
LEFT JOIN environments e ON e.environment = r.environment
LEFT JOIN hardware h ON h.environment = r.environment;
COMMENT ON VIEW runs_wide IS 'Runs with all that belongs to them in one row: the columns of runs, tags as they are now, and these.';
COMMENT ON COLUMN runs_wide.note IS 'The latest note about it.';
COMMENT ON COLUMN runs_wide.params IS 'Parameters: params[''name''].';
COMMENT ON COLUMN runs_wide.metrics IS 'Last values of metrics: metrics[''name''].';
COMMENT ON COLUMN runs_wide.system_mean IS 'Means of what the machine did meanwhile: system_mean[''cpu_percent''].';
COMMENT ON COLUMN runs_wide.system_max IS 'Maxima of the same.';
COMMENT ON COLUMN runs_wide.inputs IS 'Digests of what it read.';
COMMENT ON COLUMN runs_wide.outputs IS 'Display names of what it wrote.';
COMMENT ON COLUMN runs_wide.python IS 'Version of Python.';
COMMENT ON COLUMN runs_wide.torch IS 'Version of torch.';
COMMENT ON COLUMN runs_wide.cpu IS 'Model of the CPU.';
COMMENT ON COLUMN runs_wide.gpu IS 'Models of the GPUs; empty where there is none.';
COMMENT ON COLUMN runs_wide.deleted IS 'True where it was deleted: nothing is kept for its sake.';

CREATE VIEW held AS
WITH kept AS (SELECT run_id FROM runs ANTI JOIN deleted_runs USING (run_id))
SELECT digest FROM versions ANTI JOIN deleted_versions USING (collection, version)
UNION SELECT digest FROM run_outputs SEMI JOIN kept USING (run_id) ANTI JOIN deleted_versions USING (collection, version)
UNION SELECT digest FROM run_inputs SEMI JOIN kept USING (run_id)
UNION SELECT digest FROM checkpoints SEMI JOIN kept USING (run_id) ANTI JOIN deleted_checkpoints USING (run_id, name)
UNION SELECT digest FROM evaluations SEMI JOIN kept USING (run_id)
UNION SELECT digest FROM experience_inserts SEMI JOIN kept USING (run_id)
UNION SELECT digest FROM experience_snapshots SEMI JOIN kept USING (run_id)
UNION SELECT digest FROM fingerprint_tables SEMI JOIN kept USING (run_id)
UNION SELECT environment FROM runs SEMI JOIN kept USING (run_id) WHERE environment IS NOT NULL
UNION SELECT source FROM runs SEMI JOIN kept USING (run_id) WHERE source IS NOT NULL
UNION SELECT diff FROM sources SEMI JOIN kept USING (run_id) WHERE diff IS NOT NULL;
COMMENT ON VIEW held IS 'Artifacts that something keeps: a version, or a run that was not deleted.';
COMMENT ON COLUMN held.digest IS 'The artifact.';

CREATE VIEW internal_artifacts AS
SELECT digest FROM (
    SELECT environment AS digest FROM runs UNION SELECT source FROM runs UNION SELECT diff FROM sources
) WHERE digest IS NOT NULL
EXCEPT (SELECT digest FROM run_inputs UNION ALL SELECT digest FROM run_outputs UNION ALL SELECT digest FROM versions);
COMMENT ON VIEW internal_artifacts IS 'Source trees, their diffs and environment documents, which describe runs and carry no data; but for what is data as well: what a run read or wrote, or what has a version.';
COMMENT ON COLUMN internal_artifacts.digest IS 'The artifact.';

CREATE VIEW artifact_names AS
SELECT digest, first(name ORDER BY rank, time, name) AS name
FROM (
    SELECT digest, name, 0 AS rank, time FROM run_outputs
    UNION ALL SELECT digest, run_id || '/' || name, 1, time FROM checkpoints
    UNION ALL SELECT digest, run_id || '/' || name, 1, time FROM experience_snapshots
    UNION ALL SELECT digest, run_id || '/fingerprints_' || first, 1, time FROM fingerprint_tables
    UNION ALL SELECT digest, name, 2, time FROM evaluations
    -- What came from outside before a run wrote the same bytes is called as what came.
    UNION ALL SELECT digest, collection || ':v' || version,
        CASE WHEN run_id IS NULL AND time <= coalesce(made.first, 'infinity') THEN -1 ELSE 3 END, time
    FROM versions LEFT JOIN (
        SELECT digest, min(time) AS first FROM (
            SELECT digest, time FROM run_outputs UNION ALL SELECT digest, time FROM checkpoints
            UNION ALL SELECT digest, time FROM experience_snapshots
        ) GROUP BY digest
    ) made USING (digest)
)
GROUP BY digest;
COMMENT ON VIEW artifact_names IS 'One name for each artifact that has any: its first version where it came from outside before a run wrote it, else the first that a run gave it, else its first version.';
COMMENT ON COLUMN artifact_names.digest IS 'The artifact.';
COMMENT ON COLUMN artifact_names.name IS 'The name.';

CREATE VIEW lineage_edges AS
SELECT DISTINCT source, target, role, slot, made_by FROM (
    SELECT digest AS source, run_id AS target, 'input' AS role, slot, made_by FROM run_inputs
    UNION ALL SELECT run_id, digest, 'output', slot, NULL FROM run_outputs
    UNION ALL SELECT run_id, digest, 'checkpoint', name, NULL FROM checkpoints
    UNION ALL SELECT run_id, digest, 'snapshot', name, NULL FROM experience_snapshots
    UNION ALL SELECT run_id, digest, 'snapshot', 'experiences ' || first, NULL FROM experience_inserts
    UNION ALL SELECT run_id, digest, 'evaluation', name, NULL FROM evaluations ANTI JOIN run_outputs USING (run_id, digest)
);
COMMENT ON VIEW lineage_edges IS 'The lineage graph: what every run read and wrote, an edge a row, in the direction in which the data went.';
COMMENT ON COLUMN lineage_edges.source IS 'Artifact that a run read, or run that wrote.';
COMMENT ON COLUMN lineage_edges.target IS 'The run that read it, or artifact that it wrote.';
COMMENT ON COLUMN lineage_edges.role IS 'input, output, checkpoint, snapshot or evaluation.';
COMMENT ON COLUMN lineage_edges.slot IS 'Name under which the run read or wrote it.';
COMMENT ON COLUMN lineage_edges.made_by IS 'Of an input, the run that wrote what was read, where known.';

CREATE VIEW audit AS
WITH acts AS (
    SELECT s.record AS record, s.time AS time, 'run_started' AS kind, run_id AS subject, r.name AS details
    FROM journal.run_starts s JOIN runs r USING (run_id)
    UNION ALL SELECT record, time, 'run_ended', run_id, state FROM journal.run_ends
    UNION ALL SELECT record, time, 'parent_state', run_id, status FROM journal.parent_states
    UNION ALL SELECT record, time, 'run_imported', run_id, tool || ' ' || place FROM run_imports
    UNION ALL SELECT record, time, 'run_input', run_id, slot || ' ' || digest FROM run_inputs
    UNION ALL SELECT record, time, 'run_output', run_id, name || ' ' || digest FROM run_outputs
    UNION ALL SELECT record, time, 'run_resumed', run_id, resumed_run_id || '/' || checkpoint FROM resumes
    UNION ALL SELECT record, time, 'work_reused', parent_run_id, run_id FROM reused_work
    UNION ALL SELECT record, time, 'checkpoint', run_id, name FROM checkpoints
    UNION ALL SELECT record, time, 'evaluation', run_id, name FROM evaluations
    UNION ALL SELECT record, time, 'check', coalesce(run_id, asset),
        name || CASE WHEN passed THEN ' passed' ELSE ' failed' END
    FROM checks
    UNION ALL SELECT record, time, 'replay', original_run, verdict FROM replays
    UNION ALL SELECT record, time, 'run_tagged', run_id,
        array_to_string(list_concat(list_transform(added, lambda tag: '+' || tag), list_transform(removed, lambda tag: '-' || tag)), ' ')
    FROM tag_changes
    UNION ALL SELECT record, time, 'run_noted', run_id, text FROM notes
    UNION ALL SELECT record, time, 'run_deleted', run_id, NULL FROM deleted_runs
    UNION ALL SELECT record, time, 'checkpoint_deleted', run_id, name FROM deleted_checkpoints
    UNION ALL SELECT record, stored_at, 'artifact', digest, kind FROM artifacts
    UNION ALL SELECT record, time, 'artifact_evicted', digest, run_id FROM evictions
    UNION ALL SELECT record, time, 'version', collection || ':v' || version, digest FROM versions
    UNION ALL SELECT record, time, 'version_deleted', collection || ':v' || version, digest FROM deleted_versions
    UNION ALL SELECT record, time, 'alias', collection || '@' || alias,
        collection || ':v' || version
    FROM journal.alias_moves
)
SELECT a.time, p.account, p.host, p.pid, p.program, a.kind, a.subject, a.details, a.record
FROM acts a LEFT JOIN processes p ON p.segment = regexp_extract(a.record, '^(.*):', 1);
COMMENT ON VIEW audit IS 'Who did what, when: one row for each record of something that was done. What runs measured is not among it.';
COMMENT ON COLUMN audit.time IS 'When, UTC.';
COMMENT ON COLUMN audit.account IS 'Account of the person whose process recorded it; empty where that was not recorded.';
COMMENT ON COLUMN audit.host IS 'Host of that process.';
COMMENT ON COLUMN audit.pid IS 'Id of that process.';
COMMENT ON COLUMN audit.program IS 'Name of its program.';
COMMENT ON COLUMN audit.kind IS 'Kind of the record, such as run_started, run_tagged, version, alias, run_deleted or replay.';
COMMENT ON COLUMN audit.subject IS 'The run, artifact, version or alias.';
COMMENT ON COLUMN audit.details IS 'What was done with it, in short.';
COMMENT ON COLUMN audit.record IS 'Id of the record.';

CREATE VIEW provenance AS
SELECT
    o.name AS model,
    coalesce(made.name, i.read_as, n.name, i.asset, i.digest) AS input,
    r.commit,
    coalesce(h.gpu, h.cpu) AS hardware,
    r.seed,
    r.dirty,
    r.device,
    o.collection || ':v' || o.version AS model_version,
    o.digest AS model_digest,
    i.slot AS input_slot,
    i.digest AS input_digest,
    i.made_by AS input_made_by,
    r.branch,
    r.source,
    h.gpu,
    h.cpu,
    r.environment,
    e.python,
    e.torch,
    o.run_id,
    r.name AS run_name,
    r.asset,
    r.partition,
    r.state,
    r.trial,
    o.time AS made_at
FROM run_outputs o
LEFT JOIN runs r ON r.run_id = o.run_id
LEFT JOIN run_inputs i ON i.run_id = o.run_id
LEFT JOIN (SELECT run_id, digest, min(name) AS name FROM run_outputs GROUP BY run_id, digest) made
    ON made.run_id = i.made_by AND made.digest = i.digest
LEFT JOIN artifact_names n ON n.digest = i.digest
LEFT JOIN environments e ON e.environment = r.environment
LEFT JOIN hardware h ON h.environment = r.environment
WHERE (o.name LIKE 'model-%' OR o.collection LIKE 'model-%') AND r.replay_of IS NULL;
COMMENT ON VIEW provenance IS 'What made a model: one row for each model that a run wrote, replays left out, and each input that this run read.';
COMMENT ON COLUMN provenance.model IS 'Display name of the model.';
COMMENT ON COLUMN provenance.model_version IS 'Its version, collection:vN.';
COMMENT ON COLUMN provenance.model_digest IS 'Its digest.';
COMMENT ON COLUMN provenance.input_slot IS 'Name under which the run read the input; empty where it read nothing.';
COMMENT ON COLUMN provenance.input IS 'Name of the input: of the data set, or of the model it started from.';
COMMENT ON COLUMN provenance.input_digest IS 'Digest of the input.';
COMMENT ON COLUMN provenance.input_made_by IS 'Run that wrote the input, where known.';
COMMENT ON COLUMN provenance.commit IS 'Commit of the source.';
COMMENT ON COLUMN provenance.dirty IS 'True where the source differed from the commit.';
COMMENT ON COLUMN provenance.branch IS 'Branch of the source.';
COMMENT ON COLUMN provenance.source IS 'Digest of the source tree.';
COMMENT ON COLUMN provenance.hardware IS 'Models of the GPUs, or of the CPU where there is no GPU.';
COMMENT ON COLUMN provenance.gpu IS 'Models of the GPUs; empty where there is none.';
COMMENT ON COLUMN provenance.cpu IS 'Model of the CPU.';
COMMENT ON COLUMN provenance.device IS 'Device that it was computed on.';
COMMENT ON COLUMN provenance.seed IS 'Root seed.';
COMMENT ON COLUMN provenance.environment IS 'Digest of the environment.';
COMMENT ON COLUMN provenance.python IS 'Version of Python.';
COMMENT ON COLUMN provenance.torch IS 'Version of torch.';
COMMENT ON COLUMN provenance.run_id IS 'Run that wrote the model.';
COMMENT ON COLUMN provenance.run_name IS 'Its name.';
COMMENT ON COLUMN provenance.asset IS 'Its asset.';
COMMENT ON COLUMN provenance.partition IS 'Its partition.';
COMMENT ON COLUMN provenance.state IS 'Its state.';
COMMENT ON COLUMN provenance.trial IS 'True for a trial.';
COMMENT ON COLUMN provenance.made_at IS 'When the model was stored, UTC.';

CREATE MACRO student_t(degrees) AS CASE
    WHEN degrees < 1 THEN NULL
    WHEN degrees <= 30 THEN ([
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
        2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
        2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423
    ]::DOUBLE[])[degrees]
    -- Abramowitz and Stegun 26.7.5, to four digits from here on.
    ELSE 1.959964::DOUBLE + 2.372271::DOUBLE / degrees + 2.822499::DOUBLE / (degrees * degrees)
END;

-- The square of a greater number is none, and one such run would take the answer about all others with it.
CREATE MACRO countable(value) AS isfinite(value) AND abs(value) < 1e150;
CREATE MACRO half_interval(n, sd) AS student_t(n - 1) * sd / sqrt(n);

CREATE VIEW study_runs AS
WITH tagged AS (
    SELECT run_id, run_kind, substr(tag, 7) AS study
    FROM (SELECT run_id, run_kind, unnest(tags) AS tag FROM runs WHERE replay_of IS NULL)
    WHERE starts_with(tag, 'study=')
)
SELECT study, run_id, false AS reused FROM tagged WHERE run_kind <> 'parent'
UNION
SELECT study, w.run_id, true FROM tagged JOIN reused_work w ON w.parent_run_id = tagged.run_id WHERE run_kind = 'parent';
COMMENT ON VIEW study_runs IS 'Runs of studies, which repro run --seeds makes, and earlier runs whose work they reused.';
COMMENT ON COLUMN study_runs.study IS 'The study.';
COMMENT ON COLUMN study_runs.run_id IS 'The run.';
COMMENT ON COLUMN study_runs.reused IS 'True where the run was there before the study.';

CREATE VIEW study_metrics AS
WITH newest AS (
    SELECT study, asset, partition, seed, m.name AS metric, m.value
    FROM (SELECT DISTINCT study, run_id FROM study_runs)
    JOIN runs USING (run_id)
    JOIN metrics_last m USING (run_id)
    WHERE state = 'COMPLETED' AND countable(m.value) AND NOT regexp_matches(m.name, '/(low|high)$')
    QUALIFY row_number() OVER (PARTITION BY study, asset, partition, seed, m.name ORDER BY started_at DESC, run_id) = 1
)
SELECT study, asset, partition, metric, count(*) AS n, avg(value) AS mean, stddev_samp(value) AS sd,
    mean - half_interval(n, sd) AS low, mean + half_interval(n, sd) AS high,
    list(seed ORDER BY seed) AS seeds
FROM newest GROUP BY study, asset, partition, metric;
COMMENT ON VIEW study_metrics IS 'The last values of each metric over the seeds of a study, completed runs only, reused ones included.';
COMMENT ON COLUMN study_metrics.study IS 'The study.';
COMMENT ON COLUMN study_metrics.asset IS 'Asset of the runs.';
COMMENT ON COLUMN study_metrics.partition IS 'Its partition.';
COMMENT ON COLUMN study_metrics.metric IS 'Name of the metric.';
COMMENT ON COLUMN study_metrics.n IS 'Seeds that have it.';
COMMENT ON COLUMN study_metrics.mean IS 'Mean over the seeds.';
COMMENT ON COLUMN study_metrics.sd IS 'Sample standard deviation; empty for one seed.';
COMMENT ON COLUMN study_metrics.low IS 'Lower end of the 95 % interval of the mean, by Student''s t; empty for one seed.';
COMMENT ON COLUMN study_metrics.high IS 'Upper end.';
COMMENT ON COLUMN study_metrics.seeds IS 'The seeds.';

CREATE VIEW leaderboard AS
WITH figures AS (
    SELECT e.model, e.dataset, j.key AS metric, TRY_CAST(e.metrics ->> j.key AS DOUBLE) AS value, e.metrics, e.time
    FROM evaluations e JOIN runs r USING (run_id), json_each(e.metrics) j
    WHERE r.state = 'COMPLETED' AND NOT r.trial AND r.replay_of IS NULL
        AND e.run_id NOT IN (SELECT run_id FROM deleted_runs)
        AND NOT regexp_matches(j.key, '/(low|high)$') AND j.key NOT IN ('n', 'look_cost', 'samples_per_image')
), collections AS (
    SELECT digest, first(collection ORDER BY time, collection) AS collection FROM versions GROUP BY digest
), makers AS (
    SELECT o.digest, first(r.config ORDER BY r.started_at, r.run_id) AS config,
        first(r.code_version ORDER BY r.started_at, r.run_id) AS code_version,
        first(r.seed ORDER BY r.started_at, r.run_id) AS seed
    FROM run_outputs o JOIN runs r USING (run_id) WHERE r.replay_of IS NULL GROUP BY o.digest
), newest AS (
    SELECT coalesce(mc.collection, mn.name, f.model) AS model, coalesce(dc.collection, dn.name, f.dataset) AS dataset,
        metric, value, config::VARCHAR AS config, code_version, seed, f.time,
        TRY_CAST(f.metrics ->> (metric || '/low') AS DOUBLE) AS item_low,
        TRY_CAST(f.metrics ->> (metric || '/high') AS DOUBLE) AS item_high
    FROM figures f
    LEFT JOIN makers ON makers.digest = f.model
    LEFT JOIN collections mc ON mc.digest = f.model
    LEFT JOIN collections dc ON dc.digest = f.dataset
    LEFT JOIN artifact_names mn ON mn.digest = f.model
    LEFT JOIN artifact_names dn ON dn.digest = f.dataset
    WHERE value IS NOT NULL AND countable(value)
    QUALIFY row_number() OVER (
        PARTITION BY f.model, coalesce(dc.collection, dn.name, f.dataset), metric ORDER BY f.time DESC
    ) = 1
)
SELECT dataset, metric, model, count(*) AS n, avg(value) AS mean, stddev_samp(value) AS sd,
    mean - half_interval(n, sd) AS low, mean + half_interval(n, sd) AS high,
    avg(item_low) AS items_low, avg(item_high) AS items_high,
    list(seed ORDER BY seed) AS seeds, config::JSON AS config, code_version, max(time) AS time
FROM newest GROUP BY dataset, metric, model, config, code_version;
COMMENT ON VIEW leaderboard IS 'What models reach, over those that differ in the seed alone: one row for each data set, metric, and model with the config and code that made it. Trials, replays and deleted runs do not count; of a model the newest evaluation on a data set does.';
COMMENT ON COLUMN leaderboard.dataset IS 'Collection of the data set, whose versions may differ from seed to seed.';
COMMENT ON COLUMN leaderboard.metric IS 'Name of the metric.';
COMMENT ON COLUMN leaderboard.model IS 'Collection of the models, else the name of one.';
COMMENT ON COLUMN leaderboard.n IS 'Models.';
COMMENT ON COLUMN leaderboard.mean IS 'Mean over the models.';
COMMENT ON COLUMN leaderboard.sd IS 'Sample standard deviation over the models; empty for one.';
COMMENT ON COLUMN leaderboard.low IS 'Lower end of the 95 % interval of the mean over models, by Student''s t; empty for one.';
COMMENT ON COLUMN leaderboard.high IS 'Upper end.';
COMMENT ON COLUMN leaderboard.items_low IS 'Mean of the lower ends of the evaluations'' own intervals, which are over the items of the data set.';
COMMENT ON COLUMN leaderboard.items_high IS 'Mean of their upper ends.';
COMMENT ON COLUMN leaderboard.seeds IS 'Seeds of the runs that made the models.';
COMMENT ON COLUMN leaderboard.config IS 'Config of these runs; what the models were made from may differ besides.';
COMMENT ON COLUMN leaderboard.code_version IS 'Version of their code.';
COMMENT ON COLUMN leaderboard.time IS 'When the newest of the evaluations was made, UTC.';

CREATE MACRO best_run(metric, mode := 'max') AS TABLE
SELECT r.run_id, r.name, r.asset, r.seed, r.trial, m.value, m.step, r.started_at
FROM metrics_last m JOIN runs r USING (run_id)
WHERE m.name = metric AND r.state = 'COMPLETED' AND r.replay_of IS NULL AND NOT isnan(m.value)
    AND run_id NOT IN (SELECT run_id FROM deleted_runs)
ORDER BY CASE mode WHEN 'min' THEN m.value WHEN 'max' THEN -m.value
    ELSE error(concat(mode, ' is no mode: max or min')) END, r.started_at, r.run_id
LIMIT 1;
COMMENT ON MACRO TABLE best_run IS 'The completed run, replays and deleted runs left out, whose metric ended best; mode is max or min.';

CREATE MACRO artifact_called(given) AS only_one((
    SELECT coalesce(list(digest), []) FROM artifacts
    WHERE digest = given OR (
        length(replace(given, 'sha256:', '')) >= 8
        AND starts_with(digest, 'sha256:' || replace(given, 'sha256:', ''))
    )
), given, 'artifact');
CREATE MACRO environment_called(given) AS only_one((
    SELECT coalesce(list(DISTINCT environment), []) FROM (
        SELECT environment FROM environments WHERE environment = given OR (
            length(replace(given, 'sha256:', '')) >= 8
            AND starts_with(environment, 'sha256:' || replace(given, 'sha256:', ''))
        )
        UNION ALL
        SELECT unnest(CASE WHEN bool_or(run_id = given) THEN list(environment) FILTER (run_id = given)
            ELSE list(environment) END)
        FROM runs WHERE run_id = given OR (length(given) >= 8 AND starts_with(run_id, given))
    ) WHERE environment IS NOT NULL
), given, 'environment, or run with one,');

CREATE MACRO run_facts(run_ids) AS TABLE
WITH asked AS MATERIALIZED (
    SELECT DISTINCT only_run(known, given) AS run_id FROM (
        SELECT given, coalesce(list(run_id) FILTER (run_id IS NOT NULL), []) AS known
        FROM (SELECT DISTINCT unnest(run_ids) AS given) LEFT JOIN runs ON answers_to(run_id, name, given)
        GROUP BY given
    )
), chosen AS (
    SELECT r.* REPLACE (w.tags AS tags), h.cpu, h.gpu, e.os, e.python
    FROM (SELECT * FROM runs SEMI JOIN asked USING (run_id)) r
    LEFT JOIN (SELECT run_id, list(tag ORDER BY tag) AS tags FROM run_tags SEMI JOIN asked USING (run_id) GROUP BY run_id) w
        USING (run_id)
    LEFT JOIN environments e ON e.environment = r.environment
    LEFT JOIN hardware h ON h.environment = r.environment
)
SELECT run_id, 'run' AS part, name, value FROM (
    UNPIVOT (
        SELECT run_id, recipe, asset, partition, job, experiment, state, seed::VARCHAR AS seed, device, code_version,
            commit, branch, dirty::VARCHAR AS dirty, environment, source, capture_level, trial::VARCHAR AS trial,
            error_type, array_to_string(tags, ', ') AS tags,
            coalesce(plan->>'argv', plan->>'command') AS arguments
        FROM chosen
    ) ON COLUMNS(* EXCLUDE (run_id)) INTO NAME name VALUE value
)
UNION ALL SELECT run_id, 'hardware', name, value FROM (
    UNPIVOT (SELECT run_id, cpu, gpu FROM chosen) ON cpu, gpu INTO NAME name VALUE value
)
UNION ALL SELECT r.run_id, 'config', j.key, j.value::VARCHAR FROM chosen r, json_each(r.config) j
UNION ALL SELECT r.run_id, 'mode', j.key, j.value::VARCHAR FROM chosen r, json_each(r.mode) j
UNION ALL SELECT r.run_id, 'setting', j.key, j.value::VARCHAR FROM chosen r, json_each(r.settings) j
UNION ALL SELECT run_id, 'param', name, value::VARCHAR FROM params SEMI JOIN asked USING (run_id)
UNION ALL SELECT run_id, 'metric', name, value::VARCHAR FROM metrics_last SEMI JOIN asked USING (run_id)
UNION ALL SELECT r.run_id, 'package', p.name, p.version FROM chosen r JOIN packages p USING (environment)
UNION ALL SELECT run_id, 'input', slot || coalesce('[' || partition || ']', ''), digest FROM run_inputs
    SEMI JOIN asked USING (run_id)
UNION ALL SELECT run_id, 'output', slot || coalesce('[' || partition || ']', ''), digest FROM run_outputs
    SEMI JOIN asked USING (run_id);
COMMENT ON MACRO TABLE run_facts IS 'What is known of runs, given as a list of ids, beginnings of them or names, as for curve: one row for each fact, with part (run, hardware, config, mode, setting, param, metric, package, input or output), name and value as text.';

CREATE MACRO compare_runs(run_a, run_b) AS TABLE
WITH pair AS MATERIALIZED (
    SELECT run_called(run_a) AS a, run_called(run_b) AS b
), both_runs AS (
    SELECT part, name, max(value) FILTER (WHERE run_id = pair.a) AS value_a,
        max(value) FILTER (WHERE run_id = pair.b) AS value_b
    FROM run_facts([run_a, run_b]), pair GROUP BY part, name
)
SELECT part, name, value_a, value_b FROM both_runs WHERE value_a IS DISTINCT FROM value_b ORDER BY part, name;
COMMENT ON MACRO TABLE compare_runs IS 'What differs between two runs, code, environment and results included; runs are given as for curve.';

CREATE MACRO manifest_diff(digest_a, digest_b) AS TABLE
WITH pair AS MATERIALIZED (
    SELECT artifact_called(digest_a) AS a, artifact_called(digest_b) AS b
)
SELECT
    coalesce(old.name, new.name) AS name,
    CASE WHEN old.name IS NULL THEN 'added' WHEN new.name IS NULL THEN 'removed' ELSE 'changed' END AS change,
    old.size AS size_a, new.size AS size_b, old.objects AS objects_a, new.objects AS objects_b
FROM (SELECT * FROM manifest_entries WHERE digest = (SELECT a FROM pair)) old
FULL JOIN (SELECT * FROM manifest_entries WHERE digest = (SELECT b FROM pair)) new ON old.name = new.name
WHERE old.name IS NULL OR new.name IS NULL OR old.objects <> new.objects OR old.size <> new.size
    OR old.facts::VARCHAR <> new.facts::VARCHAR
ORDER BY name;
COMMENT ON MACRO TABLE manifest_diff IS 'Parts that differ between two artifacts, given by their digests, or 8 digits or more of them.';

CREATE MACRO environment_diff(environment_a, environment_b) AS TABLE
WITH chosen AS MATERIALIZED (
    SELECT 'a' AS side, environment_called(environment_a) AS digest
    UNION ALL
    SELECT 'b', environment_called(environment_b)
), facts AS (
    SELECT side, 'package' AS part, name, version AS value
    FROM packages p JOIN chosen ON p.environment = chosen.digest
    UNION ALL SELECT side, 'gpu', number::VARCHAR, concat_ws(', ', name, driver, memory_bytes::VARCHAR)
    FROM gpus g JOIN chosen ON g.environment = chosen.digest
    UNION ALL SELECT side, 'variable', j.key, j.value::VARCHAR
    FROM environments e JOIN chosen ON e.environment = chosen.digest, json_each(e.variables) j
    UNION ALL SELECT side, 'machine', name, value FROM (
        UNPIVOT (
            SELECT side, python, implementation, torch, cuda, os, cpu, logical_cores::VARCHAR AS logical_cores,
                memory_bytes::VARCHAR AS memory_bytes
            FROM environments e JOIN chosen ON e.environment = chosen.digest
        ) ON COLUMNS(* EXCLUDE (side)) INTO NAME name VALUE value
    )
), both_sides AS (
    SELECT part, name, max(value) FILTER (WHERE side = 'a') AS value_a, max(value) FILTER (WHERE side = 'b') AS value_b
    FROM facts GROUP BY part, name
)
SELECT
    part, name,
    CASE WHEN value_a IS NULL THEN 'added' WHEN value_b IS NULL THEN 'removed' ELSE 'changed' END AS change,
    value_a, value_b
FROM both_sides WHERE value_a IS DISTINCT FROM value_b ORDER BY part, name;
COMMENT ON MACRO TABLE environment_diff IS 'What differs between two environments, given by digest or by a run that was executed in it, or 8 letters or more of either.';
