// Who belongs to a stage: the cohort of docs/device-contract.md in JavaScript (Node 16 or later).
//
//     node cohort.js SALT DEVICE_ID UPTO DEFERRED_TO PINNED DEFERRED ...
//
// prints "bucket pin yes|no" for every six arguments; PINNED and DEFERRED are pins, one after the other.
"use strict";

const { createHash } = require("node:crypto");

const BUCKETS = 10_000_000n;
const PIN_DIGITS = 16;

function digestOf(domain, salt, deviceId) {
  const bytes = Buffer.from(salt, "utf8");
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return createHash("sha256").update(`${domain}\0`).update(length).update(bytes).update(deviceId, "utf8").digest();
}

function bucket(salt, deviceId) {
  return Number((digestOf("rollout-cohort/v1", salt, deviceId).readBigUInt64BE() * BUCKETS) >> 64n);
}

/** How a manifest names a single device: 16 hex digits. */
function pin(salt, deviceId) {
  return digestOf("rollout-pin/v1", salt, deviceId).toString("hex").slice(0, PIN_DIGITS);
}

/** Whether the active stage of a manifest's `cohort`, which ends at `upto`, takes the device. */
function takes(cohort, upto, deviceId) {
  const own = pin(cohort.salt, deviceId);
  if (cohort.pinned.includes(own)) return false;
  const place = bucket(cohort.salt, deviceId);
  return (cohort.deferred.includes(own) ? Math.max(place, cohort.deferred_to) : place) < upto;
}

module.exports = { bucket, pin, takes };

if (require.main === module) {
  const pins = (text) => text.match(/.{16}/g) ?? [];
  const given = process.argv.slice(2);
  for (let i = 0; i + 5 < given.length; i += 6) {
    const [salt, deviceId, upto, deferredTo, pinned, deferred] = given.slice(i, i + 6);
    const cohort = { salt, pinned: pins(pinned), deferred: pins(deferred), deferred_to: Number(deferredTo) };
    console.log(`${bucket(salt, deviceId)} ${pin(salt, deviceId)} ${takes(cohort, Number(upto), deviceId) ? "yes" : "no"}`);
  }
}
