// Rules of the source: no amount through floating point, no request to another origin, no unsafe HTML.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(ts|tsx|css)$/.test(path) && !path.endsWith('.test.ts'))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

const forbidden: [RegExp, string][] = [
  [/\bNumber\s*\(|\bNumber\.|\bparseFloat\b|\bparseInt\b|\.toFixed\(|\bMath\./, 'amounts are BigInt: see lib/format.ts'],
  [/https?:\/\/(?!www\.w3\.org)/, 'nothing leaves the origin'],
  [/dangerouslySetInnerHTML|innerHTML|\beval\(|\balert\(/, 'text is text'],
];

it('finds the sources', () => {
  expect(sources.length).toBeGreaterThan(10);
});

it.each(forbidden)('has no %s (%s)', (pattern) => {
  const found = sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
  expect(found).toEqual([]);
});
