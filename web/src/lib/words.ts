// What contracts answer, in words for people.

const REFUSALS: [string, string][] = [
  ['StaleValue', 'the price is stale; the queue is open'],
  ['NoValue', 'no value before the first report'],
  ['InventoryFull', 'the pool takes no more units this epoch; the queue is open'],
  ['OutflowExhausted', 'this period’s cash is spent; the queue is open'],
  ['NotEnoughInventory', 'the pool holds less than one unit'],
];

/** Why a pool gives no quote: a known refusal in words, an unknown one as it came. */
export function refusal(why: string | null, cash: string): string {
  if (why?.includes('InventoryFull') && cash === '0') return 'the pool has no cash yet; the queue is open';
  return REFUSALS.find(([name]) => why?.includes(name))?.[1] ?? why ?? '';
}
