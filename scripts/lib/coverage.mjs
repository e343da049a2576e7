// Judges forge's coverage: a line a contract, the lines nobody reached, and a floor. Assembly that ends the call (a
// failed precompile) and code that cannot be reached stand in scripts/lib/coverage.json, each with its reason.
import { readFileSync } from 'node:fs';

const plan = JSON.parse(readFileSync('scripts/lib/coverage.json', 'utf8'));
const files = new Map();
let file;
for (const line of readFileSync('out/quality/lcov.info', 'utf8').split('\n')) {
  if (line.startsWith('SF:')) files.set(line.slice(3), (file = { lines: new Map(), branches: [] }));
  else if (line.startsWith('DA:')) {
    const [number, hits] = line.slice(3).split(',').map(Number);
    file.lines.set(number, hits);
  } else if (line.startsWith('BRDA:')) {
    const [number, , , hits] = line.slice(5).split(',');
    file.branches.push([Number(number), hits === '-' ? 0 : Number(hits)]);
  }
}

const excluded = (name, number) => {
  const text = readFileSync(name, 'utf8').split('\n')[number - 1].trim();
  return plan.excluded.some((it) => it.file === name && it.line === text);
};
const percent = (hit, all) => (all === 0 ? 100 : (100 * hit) / all);
let [hitLines, allLines, hitBranches, allBranches] = [0, 0, 0, 0];
console.log('| contract | lines | branches | not reached |\n|---|---|---|---|');
for (const [name, { lines, branches }] of [...files].sort()) {
  if (!name.startsWith('contracts/')) continue;
  const l = [...lines].filter(([number]) => !excluded(name, number));
  const b = branches.filter(([number]) => !excluded(name, number));
  const missed = new Set([...l, ...b].filter(([, hits]) => hits === 0).map(([number]) => number));
  const [lh, bh] = [l, b].map((it) => it.filter(([, hits]) => hits !== 0).length);
  hitLines += lh; allLines += l.length; hitBranches += bh; allBranches += b.length;
  console.log(`| ${name.slice(10)} | ${lh} / ${l.length} | ${bh} / ${b.length} | ${[...missed].sort((x, y) => x - y).join(' ')} |`);
}
let short = allLines === 0;
for (const [what, found, floor] of [
  ['lines', percent(hitLines, allLines), plan.floor.lines],
  ['branches', percent(hitBranches, allBranches), plan.floor.branches],
]) {
  const ok = found >= floor;
  short ||= !ok;
  console.log(`coverage of ${what}: ${found.toFixed(2)} % (${floor} %) ${ok ? 'ok' : 'short'}`);
}
console.log(`excluded lines: ${plan.excluded.length}, each with its reason in scripts/lib/coverage.json`);
process.exit(short ? 1 : 0);
