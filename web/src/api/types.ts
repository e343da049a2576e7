// Shapes of the indexer's answers. Integers are decimal strings there; nothing here turns one into a `Number`.

/** A decimal integer. */
export type Int = string;

export interface Block {
  number: Int;
  hash: string;
  timestamp: Int;
}

export interface Status {
  block: Block;
  ready: boolean;
  chainId: Int;
  head: Int | null;
  finalized: Int | null;
  chainTime: Int;
  epoch: Int;
  epochStart: Int;
  epochEnd: Int;
  epochSeconds: Int;
  bitcoinNetwork: string;
}

export interface Series {
  id: Int;
  unit: string;
  algorithm: Int;
  hashratePerUnit: Int;
  model: string;
  name: string;
  symbol: string;
  backedUnits: Int;
  machines: Int;
  /** '1' after 21 epochs below 90 %: the primary sale is stopped. */
  unbacked?: Int;
}

/** What the machines did in the last report, against what the units were promised. */
export interface Backing {
  series: Int;
  epoch: Int;
  liveHashrate: Int;
  percent: Int | null;
}

export interface Entry {
  hash: string;
  price: Int;
  remaining: Int;
  fillable: Int;
  reason: 'maker_balance' | 'maker_allowance' | null;
  order: { maker: string; expiry: Int };
}

export interface Book {
  asks: Entry[];
  bids: Entry[];
}

export interface Quote {
  quote: Int | null;
  why: string | null;
}

export interface Pool {
  state: { cash: Int; inventory: Int; inventoryMax: Int; outflowLeft: Int };
  bid: Quote;
  ask: Quote;
  valuation: {
    epoch: Int;
    fairValueSats: Int;
    fresh: boolean;
    bidBase: Quote;
    askBase: Quote;
  } | null;
  tickets: { ticket: Int; units: Int; settledUnits: Int; takenBack: Int }[];
}

export interface Trade {
  block: Int;
  logIndex: Int;
  timestamp: Int;
  venue: 'market' | 'pool' | 'primary';
  side: 'buy' | 'sell';
  units: Int;
  quoteAmount: Int;
}

export interface Report {
  epoch: Int;
  round: Int;
  gap: boolean;
  hash: string | null;
  quotePerBtc: Int | null;
  quoteSpreadPpm: Int | null;
  signers: string[] | null;
  potSats: Int;
  receipts: { txid: string; vout: Int; sats: Int }[];
  series: {
    series: Int;
    pots: { workEpoch: Int; sats: Int }[];
    work: Int;
    liveHashrate: Int;
    deductionsSats: Int;
  }[];
  block: Int;
}

export interface Reports {
  signers: string[];
  quorum: Int | null;
  reports: Report[];
}

/** The operator's bond in quote units, demands to show leaves, and upheld challenges of payout roots. */
export interface Court {
  bond: { held: Int; leaving: Int; leavingFrom: Int; required: Int | null; sufficient: boolean | null };
  demands: { account: string; epoch: Int; state: 'waiting' | 'answered' | 'silent' }[];
  faults: { fault: string; epoch: Int; account: string; challenger: string; txid: string }[];
  corrections: { epoch: Int; account: string; series: Int; change: Int }[];
}

export interface Epoch {
  epoch: Int;
  state: 'committed' | 'proven' | 'deferred' | 'empty';
  root: { hash: string };
  accounts: Int;
  totalSats: Int;
  batches: {
    batch: Int;
    totalSats: Int | null;
    proven: boolean;
    bitcoinTxid: string | null;
    bitcoinBlock: string | null;
  }[];
}

/** The switching service's own words. Counts and times there are plain JSON numbers, below 2^53. */
export interface FleetStatus {
  time: number;
  current: { venue: string; coin: string; since: number } | null;
  rates: { venue: string; millisats_per_mhash: Int; unfit: unknown }[];
  decisions: {
    time: number;
    until: number;
    times: number;
    action: 'stay' | 'move' | 'idle';
    venue: string | null;
    reason: string;
    rates: { venue: string; millisats_per_mhash: Int; unfit: unknown }[];
  }[];
  venues: { name: string; coin: string; up: boolean; why_down: string | null }[];
  machines: {
    serial: string;
    connected: boolean;
    venue: string | null;
    accepted: number;
    rejected: number;
    stale: number;
  }[];
  switches: number;
  disconnects: number;
  switch_latency_micros: { last: number; max: number; switches: number };
}

export interface Fleet {
  fleet: FleetStatus | null;
  why: string | null;
}

export interface ConversionStatus {
  sold: { coin: string; amount: Int }[];
  grossSats: Int;
  tradingFeeSats: Int;
  withdrawnSats: Int;
  withdrawalFeeSats: Int;
  trouble: string | null;
}

export interface Conversion {
  conversion: ConversionStatus | null;
  why: string | null;
}

export interface Deployment {
  chainId: number;
  payoutRegistry: string;
  fleetOracle: string;
  epochLedger: string;
  fairValue: string;
  positionMarket: string;
  seriesRegistry: string;
}

export interface CheckedAddress {
  address: string;
  kind: string;
  scriptPubKey: string;
  network: string;
}
