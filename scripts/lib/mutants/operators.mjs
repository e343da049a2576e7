// What can be changed in a Solidity file: one small fault each, of the kinds that people make.

const SWAPS = {
  '+': ['-'], '-': ['+'], '*': ['/'], '/': ['*'], '%': ['*'],
  '<': ['<=', '>='], '<=': ['<', '>'], '>': ['>=', '<='], '>=': ['>', '<'], '==': ['!='], '!=': ['=='],
  '&&': ['||'], '||': ['&&'], '!': [''], '&': ['|'], '|': ['&'], '^': ['&'], '<<': ['>>'], '>>': ['<<'],
  '+=': ['-='], '-=': ['+='], '|=': ['&='], '++': ['--'], '--': ['++'],
};
const OPERATOR = /<<=|>>=|\+\+|--|&&|\|\||==|!=|<=|>=|=>|\+=|-=|\*=|\/=|\|=|&=|<<|>>|[-+*/%<>&|^!]/g;
const NUMBER = /(?<![\w.])(0x[0-9a-fA-F]+|\d[\d_]*)(e\d+)?\b/g;
const CALLS = {
  add: 'sub', sub: 'add', mul: 'div', lt: 'gt', gt: 'lt', shl: 'shr', shr: 'shl', and: 'or', or: 'and', iszero: '',
  'Math.min': 'Math.max', 'Math.max': 'Math.min', fullMulDiv: 'fullMulDivUp', fullMulDivUp: 'fullMulDiv',
};
const MODIFIERS = /\b(nonReentrant|restricted|whenRunning|onlyMinter|metered)\b/g;
const NOT_A_STATEMENT = new RegExp(
  '^(?:(?:u?int\\d*|bytes\\d*|address|bool|string)\\b(?!\\()|(?:mapping|error|event|struct|enum|using|return|import|pragma|function|' +
  'constructor|modifier|abstract|contract|interface|library|assembly|let|for|while|try|catch|unchecked|break|continue|_;)\\b|_;|' +
  '\\(\\s*(?:u?int\\d*|bytes\\d*|address|bool|,)|' +
  '[A-Z]\\w*(?:\\.\\w+)?(?:\\[\\])?\\s+\\w)',
);

/** The text with comments and strings blanked, at the same offsets. */
export function mask(text) {
  return text.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?:hex)?"(?:[^"\\\n]|\\.)*"/g, (it) => it.replace(/[^\n]/g, ' '));
}

/** Every mutant of `text`: { at, length, with, kind }. */
export function mutantsOf(text) {
  const code = mask(text);
  const found = [];
  const add = (at, length, replacement, kind) => found.push({ at, length, with: replacement, kind });
  const skipLine = (at) => {
    const line = code.slice(code.lastIndexOf('\n', at) + 1, code.indexOf('\n', at));
    return /^\s*(pragma|import|error|event|using)\b/.test(line) || /\bmapping\b/.test(line);
  };

  for (const m of code.matchAll(OPERATOR)) {
    if (skipLine(m.index)) continue;
    for (const other of SWAPS[m[0]] ?? []) add(m.index, m[0].length, other, 'operator');
  }
  for (const m of code.matchAll(NUMBER)) {
    if (skipLine(m.index)) continue;
    if (m[1].length > 20) continue; // masks and addresses: any change would be one of many bits
    add(m.index, m[0].length, `(${m[0]} + 1)`, 'constant');
    if (!/^(0x)?0+$/.test(m[1])) add(m.index, m[0].length, '0', 'constant');
  }
  for (const m of code.matchAll(/\b(true|false)\b/g)) {
    add(m.index, m[0].length, m[0] === 'true' ? 'false' : 'true', 'constant');
  }
  for (const [name, other] of Object.entries(CALLS)) {
    for (const m of code.matchAll(new RegExp(`(?<![\\w.])${name.replace('.', '\\.')}\\(|(?<=Math\\.)${name}\\(`, 'g'))) {
      add(m.index, m[0].length, `${other}(`, 'call');
    }
  }
  for (const m of code.matchAll(MODIFIERS)) {
    const before = code.slice(0, m.index);
    if (/\bmodifier\s+$/.test(before)) continue;
    add(m.index, m[0].length, '', 'modifier');
  }
  for (const m of code.matchAll(/\w\((\w+), (\w+)(?=[,)])/g)) {
    const at = m.index + 2;
    if (m[1] !== m[2] && !skipLine(at)) add(at, m[0].length - 2, `${m[2]}, ${m[1]}`, 'arguments');
  }
  for (const m of code.matchAll(/\bif \(/g)) {
    const open = m.index + m[0].length - 1;
    const close = closing(code, open);
    add(open, close - open + 1, `(!${text.slice(open, close + 1)})`, 'condition');
  }
  for (const [at, end] of statements(code)) add(at, end - at, '{}', 'statement');
  return found;
}

/** Spans of the statements that can go: not declarations, not returns. */
function* statements(code) {
  const start = /[;{}]\s*(?=[\w(])/g;
  for (const m of code.matchAll(start)) {
    const at = m.index + m[0].length;
    let from = at;
    if (/^else\b/.test(code.slice(from, from + 5)) ) from += 5;
    if (NOT_A_STATEMENT.test(code.slice(from, from + 60))) continue;
    let end = from;
    for (; end < code.length && code[end] !== ';'; ++end) {
      if (code[end] === '(') end = closing(code, end);
      if (code[end] === '{' || code[end] === '}') break;
    }
    if (code[end] !== ';') continue;
    if (/\b(public|private|internal|constant|immutable|external)\b/.test(code.slice(from, end))) continue;
    yield [from, end + 1];
  }
}

function closing(code, open) {
  let depth = 0;
  for (let i = open; i < code.length; ++i) {
    if (code[i] === '(') ++depth;
    else if (code[i] === ')' && --depth === 0) return i;
  }
  return code.length - 1;
}

export function apply(text, mutant) {
  return text.slice(0, mutant.at) + mutant.with + text.slice(mutant.at + mutant.length);
}

/** The line that changes, before and after, trimmed: what people and the list of equivalents name a mutant by. */
export function describe(text, mutant) {
  const from = text.lastIndexOf('\n', mutant.at) + 1;
  const end = text.indexOf('\n', mutant.at + mutant.length);
  const squeeze = (it) => it.replace(/\s+/g, ' ').trim();
  return {
    line: text.slice(0, mutant.at).split('\n').length,
    before: squeeze(text.slice(from, end)),
    after: squeeze(text.slice(from, mutant.at) + mutant.with + text.slice(mutant.at + mutant.length, end)),
  };
}

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
