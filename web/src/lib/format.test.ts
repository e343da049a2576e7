// Formatting is exact at every size that a contract can hold.
import { describe, expect, it } from 'vitest';

import { ago, btc, duration, fixed, group, hashrate, percent, permille, quote, sats, short, units } from './format';

const plain = (text: string) => text.replaceAll('\u202f', ' ');

describe('amounts', () => {
  it('keeps every digit above 2^53', () => {
    expect(plain(sats('9007199254740993'))).toBe('9 007 199 254 740 993');
    expect(plain(units('79228162514264337593543950335', 18))).toBe('79 228 162 514.264337593543950335');
    expect(plain(quote('340282366920938463463374607431768211455'))).toBe(
      '340 282 366 920 938 463 463 374 607 431 768.211455',
    );
  });

  it('cuts and never rounds up', () => {
    expect(units('1999999999999999999', 4)).toBe('1.9999');
    expect(fixed(-1_999n, 3, 1)).toBe('\u22121.9');
  });

  it('does not call a small amount zero', () => {
    expect(units('1', 4)).toBe('<0.0001');
    expect(fixed(1n, 3, 0)).toBe('<1');
    expect(units('0', 4)).toBe('0');
  });

  it('shows the decimals that a currency always has', () => {
    expect(quote('1500000')).toBe('1.50');
    expect(quote('1')).toBe('0.000001');
    expect(btc('12345')).toBe('0.00012345');
    expect(btc('2100000000000000').replaceAll('\u202f', '')).toBe('21000000.00000000');
  });

  it('groups by three', () => {
    expect(['1', '12', '123', '1234', '1234567'].map((text) => plain(group(text)))).toEqual([
      '1', '12', '123', '1 234', '1 234 567',
    ]);
  });
});

describe('rates and time', () => {
  it('names hashrates', () => {
    expect(plain(hashrate('0'))).toBe('0 H/s');
    expect(plain(hashrate('999'))).toBe('999 H/s');
    expect(plain(hashrate('1000'))).toBe('1 kH/s');
    expect(plain(hashrate('140250000000000'))).toBe('140.25 TH/s');
  });

  it('turns parts per million into percent', () => {
    expect(plain(percent('12345'))).toBe('1.23 %');
    expect(plain(percent('1000000'))).toBe('100 %');
  });

  it('counts down', () => {
    expect(duration(28_800n)).toBe('8 h 00 min');
    expect(duration(65n)).toBe('1 min 05 s');
    expect(duration(-5n)).toBe('0 s');
    expect(ago(10n, 75n)).toBe('1 min 05 s ago');
    expect(ago(80n, 75n)).toBe('now');
  });

  it('measures progress without leaving its bounds', () => {
    expect(permille(1n, 3n)).toBe(333n);
    expect(permille(5n, 3n)).toBe(1000n);
    expect(permille(-1n, 3n)).toBe(0n);
    expect(permille(1n, 0n)).toBe(0n);
  });
});

it('shortens a hash to its ends', () => {
  expect(short('0x1234567890abcdef1234567890abcdef')).toBe('0x123456\u2026abcdef');
  expect(short('abc')).toBe('abc');
});
