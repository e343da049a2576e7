// What a holder wants to know first: what a unit is worth, what it can be sold for now, and when the next payout closes.
import type { Live } from '../api/live';
import type { Pool, Series, Status } from '../api/types';
import { algorithm, duration, group, hashrate, permille, quote, sats, units } from '../lib/format';
import { refusal } from '../lib/words';

interface Props {
  live: Live;
  series: Series | null;
  all: Series[];
  choose: (id: string) => void;
}

export function Headline({ live, series, all, choose }: Props) {
  const pool = live.pool.data;
  return (
    <section className="headline" aria-label="Overview">
      <div className="intro">
        <h1>From the hash to your Bitcoin address</h1>
        <p>
          {series === null ? (
            'A position in a mining fleet: paid in bitcoin every eight hours, sold at any time.'
          ) : (
            <>
              <b>{series.symbol}</b> · {algorithm(series.algorithm)} · {units(series.backedUnits)} units backed by{' '}
              {group(series.machines)} machines, {hashrate(series.hashratePerUnit)} each unit · {series.model}
              {backed(series, live)}
            </>
          )}
        </p>
        {all.length > 1 && (
          <label className="choose">
            Series{' '}
            <select value={series?.id ?? '1'} onChange={(event) => choose(event.target.value)}>
              {all.map((one) => <option key={one.id} value={one.id}>{one.symbol}</option>)}
            </select>
          </label>
        )}
      </div>
      <dl className="figures">
        <Big
          name="Fair value of one unit"
          value={pool?.valuation ? sats(pool.valuation.fairValueSats) : '–'}
          unit="sat"
          how={valuedBy(pool)}
        />
        <Big
          name="Sell one unit now"
          value={pool?.bid.quote ? quote(pool.bid.quote, 4) : '–'}
          unit="USD"
          how={pool?.bid.quote ? 'the pool contract’s own quote at this block' : refusal(pool?.bid.why ?? null, pool?.state.cash ?? '')}
        />
        <Epoch status={live.status.data} />
      </dl>
    </section>
  );
}

/** The reported live hashrate against the promised one; nothing before the first report. */
export function backed(series: Series, live: Live): string {
  const backing = live.series.data?.backing?.find((one) => one.series === series.id);
  if (backing?.percent == null) return '';
  const stopped = series.unbacked === '1' ? ', too low for 21 epochs: no new units are sold' : '';
  return ` · backing at ${group(backing.percent)} % in epoch ${group(backing.epoch)}${stopped}`;
}

function valuedBy(pool: Pool | null): string {
  if (pool === null) return '';
  return pool.valuation === null ? 'set by the first report' : `FairValue contract, report of epoch ${group(pool.valuation.epoch)}`;
}

function Big({ name, value, unit, how }: { name: string; value: string; unit: string; how: string }) {
  return (
    <div className="big">
      <dt>{name}</dt>
      <dd>
        <span className="value">{value}</span> <span className="unit">{unit}</span>
        <span className="source">{how}</span>
      </dd>
    </div>
  );
}

function Epoch({ status }: { status: Status | null }) {
  const [now, start, end] = [status?.chainTime, status?.epochStart, status?.epochEnd].map((time) => BigInt(time ?? '0'));
  const passed = (now ?? 0n) - (start ?? 0n);
  const share = permille(passed, (end ?? 0n) - (start ?? 0n));
  return (
    <div className="big">
      <dt>{status === null ? 'Epoch' : `Epoch ${group(status.epoch)} closes in`}</dt>
      <dd>
        <span className="value" data-testid="countdown">
          {status === null ? '–' : duration((end ?? 0n) - (now ?? 0n))}
        </span>
        <span className="bar" role="progressbar" aria-label="Epoch" aria-valuetext={`${share / 10n} %`}>
          <span style={{ width: `${share / 10n}%` }} />
        </span>
        <span className="source">chain time of the indexed block; payouts follow each close</span>
      </dd>
    </div>
  );
}
