// Hashes the licence numbers of a file, one per line, and prints `line<TAB>profile<TAB>hash`.
//
//   node hash_numbers.mjs HOST:PORT FILE [--profile legacy-sha256] [--ca FILE] [--token-file FILE]
//
// Made from proto/ at run time, with no generated code. What it shows: a request id per batch that is
// kept while the batch is tried again, so a restart of the dispatcher costs nothing; which errors to
// try again, with full jitter; waiting for results; verifying one.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTO =
  process.env.VIRTSCALE_PROTO ?? fileURLToPath(new URL("../../../proto", import.meta.url));
const BATCH = 1000;
const ATTEMPT_MS = 40_000;
const PATIENCE_MS = 60_000;
const LATER = new Set([
  grpc.status.UNAVAILABLE,
  grpc.status.CANCELLED,
  grpc.status.RESOURCE_EXHAUSTED,
  grpc.status.DEADLINE_EXCEEDED,
  grpc.status.ABORTED,
]);

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    profile: { type: "string", default: "legacy-sha256" },
    ca: { type: "string" },
    "token-file": { type: "string" },
  },
});
const [address, file] = positionals;
if (file === undefined) {
  console.error("usage: node hash_numbers.mjs HOST:PORT FILE");
  process.exit(2);
}

const definition = loader.loadSync("virtscale/v1/license.proto", {
  includeDirs: [PROTO],
  keepCase: true,
  enums: String,
  longs: Number,
  defaults: true,
});
const { LicenseService } = grpc.loadPackageDefinition(definition).virtscale.v1;
const credentials = options.ca
  ? grpc.credentials.createSsl(readFileSync(options.ca))
  : grpc.credentials.createInsecure();
const client = new LicenseService(address, credentials, {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
  "grpc.enable_http_proxy": 0,
});
const metadata = new grpc.Metadata();
if (options["token-file"]) {
  const token = readFileSync(options["token-file"], "utf8").trim();
  metadata.set("authorization", `Bearer ${token}`);
}

// One attempt.
function attempt(method, request) {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + ATTEMPT_MS);
    client[method](request, metadata, { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

// Tries again while that can help. Every call of the API may be repeated as it is.
async function call(method, request) {
  const end = Date.now() + PATIENCE_MS;
  for (let longest = 100; ; longest = Math.min(2 * longest, 2000)) {
    try {
      return await attempt(method, request);
    } catch (error) {
      if (!LATER.has(error.code) || Date.now() >= end) throw error;
      await sleep(Math.random() * longest);
    }
  }
}

async function hashBatch(numbers, profile) {
  const jobs = numbers.map(({ line, number }) => ({ number, profile, reference: `line ${line}` }));
  const { job_ids } = await call("SubmitJobs", { request_id: randomUUID(), jobs });
  for (;;) {
    const answer = await call("WaitJobs", { job_ids, timeout: { seconds: 30 } });
    if (answer.all_final) return answer.jobs;
  }
}

const numbers = readFileSync(file, "utf8")
  .split("\n")
  .map((text, index) => ({ line: index + 1, number: text.trim() }))
  .filter(({ number }) => number !== "");
const profile = "HASH_PROFILE_" + options.profile.toUpperCase().replaceAll("-", "_");
let failed = 0;
try {
  for (let start = 0; start < numbers.length; start += BATCH) {
    const batch = numbers.slice(start, start + BATCH);
    const jobs = await hashBatch(batch, profile);
    for (const [index, job] of jobs.entries()) {
      if (job.state === "JOB_STATE_DONE") {
        console.log(`${batch[index].line}\t${options.profile}\t${job.result.hash}`);
      } else {
        failed += 1;
        console.error(`line ${batch[index].line}: ${job.state} ${job.failure?.message ?? ""}`);
      }
    }
    // A sample: does the stored hash really belong to its number?
    const done = jobs.findIndex((job) => job.state === "JOB_STATE_DONE");
    if (done >= 0) {
      const { number } = batch[done];
      const verdict = await call("VerifyLicense", { number, hash: jobs[done].result.hash });
      if (!verdict.matches) throw new Error(`${jobs[done].job_id}: a hash of another number`);
    }
  }
} catch (error) {
  // `details` names the faulty fields; it never holds a number.
  console.error(`error: ${grpc.status[error.code] ?? "ERROR"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}
if (failed > 0) process.exitCode = 1;
