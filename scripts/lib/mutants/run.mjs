// Mutation testing of the contracts: changes one thing, compiles what changed, runs the tests that should notice.
// Called by ./scripts/bench mutants [--sample N] [--seed S] [--jobs J] [--only FILE] [--fresh]. Verdicts are kept in
// out/mutants/ by the text of the function they are in, so an interrupted run goes on where it stopped and a changed
// function is judged anew. When tests have changed, survivors are judged anew and the killed are not; --fresh judges all.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { apply, describe, mutantsOf, random } from './operators.mjs';

const ASKED = 0.95;
const { values: options } = parseArgs({
  options: {
    sample: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    only: { type: 'string' },
    fresh: { type: 'boolean', default: false },
  },
});
const root = process.cwd();
const forge = join(root, 'node_modules/@foundry-rs/forge-linux-amd64/bin/forge');
const plan = JSON.parse(readFileSync('tests/contracts/mutants.json', 'utf8'));
const work = mkdtempSync(join(tmpdir(), 'mutants-'));
const children = new Set();
let stopping = false;

function stop(code) {
  stopping = true;
  for (const child of children) {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }
  rmSync(work, { recursive: true, force: true });
  process.exit(code);
}
process.on('SIGINT', () => stop(130));
process.on('SIGTERM', () => stop(143));

/* WHICH MUTANTS */

/** The sample: areas take turns, so that a small one is not drowned by a large one; seeded. */
function draw() {
  const next = random(Number(options.seed));
  const queues = plan.areas.map((area) => {
    const all = [];
    for (const file of area.files) {
      if (options.only && file !== options.only) continue;
      const text = readFileSync(file, 'utf8');
      for (const mutant of mutantsOf(text)) all.push({ ...mutant, ...describe(text, mutant), ...place(text, mutant.at), file, area });
    }
    for (let i = all.length - 1; i > 0; --i) {
      const j = Math.floor(next() * (i + 1));
      [all[i], all[j]] = [all[j], all[i]];
    }
    return all;
  });
  const total = queues.reduce((sum, queue) => sum + queue.length, 0);
  const order = [];
  while (queues.some((queue) => queue.length !== 0)) {
    for (const queue of queues) if (queue.length !== 0) order.push(queue.pop());
  }
  return { order, total };
}

/** The function around an offset: a hash of its text, and where in it the offset is. */
function place(text, at) {
  const from = Math.max(text.lastIndexOf('\n    function ', at), text.lastIndexOf('\n    constructor', at), 0);
  const end = text.indexOf('\n    }', from);
  const around = createHash('sha256').update(text.slice(from, end < at ? at + 80 : end)).digest('hex').slice(0, 12);
  return { around, offset: at - from };
}

const equivalent = (mutant) =>
  plan.equivalent.find((it) => it.file === mutant.file && it.before === mutant.before && it.after === mutant.after);

/* RUNNING ONE */

function workshop(name) {
  const dir = join(work, name);
  mkdirSync(dir);
  for (const it of ['contracts', 'scripts', 'snapshots', 'foundry.toml', 'package.json']) cpSync(it, join(dir, it), { recursive: true });
  mkdirSync(join(dir, 'tests'));
  for (const it of ['contracts', 'vectors']) cpSync(join('tests', it), join(dir, 'tests', it), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  // tests take the contracts' code from its artifact, so that a changed contract does not compile them anew
  const config = readFileSync(join(dir, 'foundry.toml'), 'utf8').replace('[profile.default]\n', '[profile.default]\ndynamic_test_linking = true\n');
  writeFileSync(join(dir, 'foundry.toml'), config);
  return dir;
}

function test(dir, tests, seconds) {
  for (const it of ['fuzz', 'invariant']) rmSync(join(dir, 'out/cache', it), { recursive: true, force: true });
  const args = ['test', '--fail-fast', '--match-path', `tests/contracts/{${tests.join(',')}}.t.sol`, '--fuzz-seed', '0x5eed'];
  const env = { ...process.env, FOUNDRY_FUZZ_RUNS: '64', FOUNDRY_INVARIANT_RUNS: '4', FOUNDRY_PROFILE: 'default' };
  return new Promise((resolve) => {
    const child = spawn(forge, args, { cwd: dir, env, detached: true });
    children.add(child);
    let output = '';
    const take = (data) => (output = (output + data).slice(-200_000));
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const timer = setTimeout(() => {
      output += '\ntimed out';
      process.kill(-child.pid, 'SIGKILL');
    }, seconds * 1000);
    child.on('close', (code) => {
      clearTimeout(timer);
      children.delete(child);
      resolve({ code, output });
    });
  });
}

function verdictOf({ code, output }) {
  if (code === 0) return { verdict: 'survived' };
  if (output.includes('timed out') && code === null) return { verdict: 'killed', by: 'time' };
  if (/Compiler run failed|Compiler error|error\[/.test(output) && !output.includes('[FAIL')) return { verdict: 'invalid' };
  const by = /\[FAIL[^\]]*\]* ?.*?\b((?:test|invariant|setUp)\w*)\(/.exec(output)?.[1] ?? /\[FAIL[^\n]*/.exec(output)?.[0];
  return by ? { verdict: 'killed', by } : { verdict: 'broken', by: output.slice(-400) };
}

/* ALL OF THEM */

const stamp = (...dirs) => {
  const hash = createHash('sha256');
  const feed = (dir) => {
    for (const it of readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(dir, it.name);
      if (it.isDirectory()) feed(path);
      else if (path.endsWith('.sol')) hash.update(path).update(readFileSync(path));
    }
  };
  dirs.forEach(feed);
  return hash.digest('hex').slice(0, 16);
};

const kept = 'out/mutants/verdicts.json';
const tests = stamp('tests/contracts');
mkdirSync('out/mutants', { recursive: true });
const verdicts = !options.fresh && existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : {};
const keyOf = (mutant) => `${mutant.file}|${mutant.around}|${mutant.offset}|${mutant.length}|${mutant.with}`;

const { order, total } = draw();
const wanted = Math.min(Number(options.sample), order.length);
console.log(`${total} mutants possible; sample of ${wanted}, seed ${options.seed}, commit ${execFileSync('git', ['rev-parse', '--short', 'HEAD']).toString().trim()}`);
const counted = [];
const queue = [];
const started = Date.now();
let cursor = 0;

const known = (mutant) => {
  const verdict = verdicts[keyOf(mutant)];
  return verdict && (verdict.verdict !== 'survived' || verdict.tests === tests) ? verdict : undefined;
};

/** Fills the sample up; file by file, because what the last mutant dirtied is compiled again. */
function refill() {
  while (cursor < order.length && counted.length < wanted) {
    const mutant = order[cursor++];
    if (equivalent(mutant) || verdicts[keyOf(mutant)]?.verdict === 'invalid') continue;
    counted.push(mutant);
    if (!known(mutant)) queue.push(mutant);
  }
  queue.sort((a, b) => (a.file === b.file ? a.at - b.at : a.file < b.file ? -1 : 1));
}

/** The next mutant to judge: workers come from both ends, so that they rarely share a file. */
function take(number) {
  if (queue.length === 0) refill();
  return number % 2 === 0 ? queue.shift() : queue.pop();
}

async function worker(number) {
  const dir = workshop(String(number));
  const limits = new Map();
  for (let mutant = take(number); mutant; mutant = take(number)) {
    const { area } = mutant;
    const path = join(dir, mutant.file);
    const text = readFileSync(path, 'utf8');
    if (!limits.has(area)) {
      let began = Date.now();
      const clean = await test(dir, area.tests, 1200);
      if (clean.code !== 0) {
        console.error(`the tests of ${area.name} fail without any mutant:\n${clean.output.slice(-3000)}`);
        stop(1);
      }
      limits.set(area, 60 + (5 * (Date.now() - began)) / 1000);
    }
    writeFileSync(path, apply(text, mutant));
    const began = Date.now();
    const result = verdictOf(await test(dir, area.tests, limits.get(area)));
    writeFileSync(path, text);
    if (result.verdict === 'broken') {
      console.error(`forge failed without a verdict at ${mutant.file}:${mutant.line}: ${result.by}`);
      stop(1);
    }
    verdicts[keyOf(mutant)] = { ...result, tests, seconds: Math.round((Date.now() - began) / 100) / 10 };
    writeFileSync(kept, JSON.stringify(verdicts));
    if (result.verdict === 'invalid') counted.splice(counted.indexOf(mutant), 1);
    if (result.verdict === 'survived') console.log(`survived ${mutant.file}:${mutant.line}\n  - ${mutant.before}\n  + ${mutant.after}`);
    const judged = counted.filter(known).length;
    if (process.stderr.isTTY) process.stderr.write(`\r  ${judged} of ${wanted}, ${Math.round((Date.now() - started) / 60000)} min `);
  }
}

await Promise.all(Array.from({ length: Number(options.jobs) }, (_, i) => worker(i)));
report();

function report() {
  let killed = 0;
  console.log(`\nsurvivors:`);
  for (const mutant of counted) {
    const { verdict } = verdicts[keyOf(mutant)];
    if (verdict === 'killed') ++killed;
    else console.log(`${mutant.file}:${mutant.line}\n  - ${mutant.before}\n  + ${mutant.after}`);
  }
  for (const name of new Set(plan.areas.map((it) => it.name))) {
    const of = counted.filter((it) => it.area.name === name);
    const dead = of.filter((it) => verdicts[keyOf(it)].verdict === 'killed').length;
    console.log(`mutants of ${name}: ${dead} of ${of.length} killed`);
  }
  const ok = killed >= ASKED * counted.length;
  const minutes = Math.round((Date.now() - started) / 60000);
  console.log(`mutants killed: ${killed} of ${counted.length}, ${((100 * killed) / counted.length).toFixed(1)} % (95 %) ${ok ? 'ok' : 'short'}; ${minutes} min`);
  stop(ok ? 0 : 1);
}
