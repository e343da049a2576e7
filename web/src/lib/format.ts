// Integers to words, with BigInt alone: a `Number` loses digits above 2^53 and no amount may pass through one.

/** Unit tokens have 18 decimals, the quote currency 6, a bitcoin 8. */
export const UNIT_DECIMALS = 18;
export const QUOTE_DECIMALS = 6;
export const BTC_DECIMALS = 8;

const THIN = '\u202f';

/** `1234567` as `1 234 567`, with narrow no-break spaces. */
export function group(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

/**
 * A fixed-point integer with `decimals` decimals, cut (never rounded up) to `shown` of them. Trailing zeros beyond
 * `least` decimals are dropped. A positive value too small to show is `<0.01`, not zero.
 */
export function fixed(value: bigint, decimals: number, shown: number, least = 0): string {
  const negative = value < 0n;
  const size = negative ? -value : value;
  const scale = 10n ** BigInt(decimals);
  const fraction = (size % scale).toString().padStart(decimals, '0').slice(0, shown);
  const whole = size / scale;
  if (size > 0n && whole === 0n && !/[1-9]/.test(fraction)) {
    return shown === 0 ? '<1' : `<0.${'0'.repeat(shown - 1)}1`;
  }
  const kept = fraction.replace(/0+$/, '').padEnd(least, '0');
  const text = group(whole.toString()) + (kept === '' ? '' : `.${kept}`);
  return negative ? `\u2212${text}` : text;
}

/** Units of a series. */
export function units(value: string, shown = 4): string {
  return fixed(BigInt(value), UNIT_DECIMALS, shown);
}

/** Quote currency. */
export function quote(value: string, shown = 6): string {
  return fixed(BigInt(value), QUOTE_DECIMALS, shown, 2);
}

/** Satoshis. */
export function sats(value: string): string {
  return fixed(BigInt(value), 0, 0);
}

/** Satoshis as bitcoin, all eight decimals. */
export function btc(value: string): string {
  return fixed(BigInt(value), BTC_DECIMALS, BTC_DECIMALS, BTC_DECIMALS);
}

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z'];

/** Hashes per second with a metric prefix and three digits or so. */
export function hashrate(value: string): string {
  const hashes = BigInt(value);
  let step = 0;
  while (step + 1 < PREFIXES.length && hashes >= 1000n ** BigInt(step + 1)) step += 1;
  return `${fixed(hashes, step * 3, step === 0 ? 0 : 2)}${THIN}${PREFIXES[step] ?? ''}H/s`;
}

/** Parts per million as a percentage. */
export function percent(ppm: string): string {
  return `${fixed(BigInt(ppm), 4, 2)}${THIN}%`;
}

/** Seconds as `7 h 12 min`, `12 min 05 s` or `5 s`. */
export function duration(seconds: bigint): string {
  const s = seconds < 0n ? 0n : seconds;
  const [hours, minutes, rest] = [s / 3600n, (s / 60n) % 60n, s % 60n];
  const two = (value: bigint) => value.toString().padStart(2, '0');
  if (hours > 0n) return `${group(hours.toString())} h ${two(minutes)} min`;
  return minutes > 0n ? `${minutes} min ${two(rest)} s` : `${rest} s`;
}

/** How long before `now` something was, in words. */
export function ago(time: bigint, now: bigint): string {
  return time >= now ? 'now' : `${duration(now - time)} ago`;
}

/** A part of a whole in thousandths, between 0 and 1000. */
export function permille(part: bigint, whole: bigint): bigint {
  if (whole <= 0n || part <= 0n) return 0n;
  return part >= whole ? 1000n : (part * 1000n) / whole;
}

/** The two ends of a hash, address or txid. */
export function short(text: string, ends = 6): string {
  const head = text.startsWith('0x') ? ends + 2 : ends;
  return text.length <= head + ends + 1 ? text : `${text.slice(0, head)}\u2026${text.slice(-ends)}`;
}

const ALGORITHMS: Record<string, string> = {
  '1': 'SHA-256',
  '2': 'Scrypt',
  '3': 'Equihash',
  '4': 'kHeavyHash',
};

/** Name of a contract's algorithm number. */
export function algorithm(id: string): string {
  return ALGORITHMS[id] ?? `algorithm ${id}`;
}
