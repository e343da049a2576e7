// Judges slither's findings: none of high or medium impact may stand that scripts/lib/slither.json does not name with
// its reason, and no reason may stand for a finding that is gone.
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync('out/quality/slither.json', 'utf8'));
if (!report.success) {
  console.error(`slither failed: ${report.error}`);
  process.exit(1);
}
const reasons = JSON.parse(readFileSync('scripts/lib/slither.json', 'utf8'));
const used = new Set();
let open = 0;
for (const finding of report.results.detectors ?? []) {
  if (!['High', 'Medium'].includes(finding.impact)) continue;
  const [first] = finding.elements;
  const parent = first.type_specific_fields?.parent?.name;
  const where = first.type === 'function' || first.type === 'variable' ? `${parent}.${first.name}` : first.name;
  const reason = reasons.find((it) => it.check === finding.check && it.where.includes(where));
  if (reason) used.add(`${reason.check} ${where}`);
  else {
    ++open;
    console.log(`${finding.impact} ${finding.check} at ${where}: ${finding.description.split('\n')[0]}`);
  }
}
let stale = 0;
for (const { check, where } of reasons) {
  for (const one of where) {
    if (used.has(`${check} ${one}`)) continue;
    ++stale;
    console.log(`no longer found, take it out of scripts/lib/slither.json: ${check} at ${one}`);
  }
}
const ok = open === 0 && stale === 0;
console.log(`slither, high and medium: ${open} open (0), ${used.size} answered with a reason, ${stale} stale ${ok ? 'ok' : 'short'}`);
process.exit(ok ? 0 : 1);
