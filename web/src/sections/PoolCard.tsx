// The standing offer to buy, beside what a unit is worth.
import type { Feed } from '../api/live';
import type { Pool, Quote } from '../api/types';
import { group, permille, quote, sats, units } from '../lib/format';
import { refusal } from '../lib/words';
import { Badge } from '../parts/Badge';
import { Card, Empty } from '../parts/Card';
import { Evidence } from '../parts/Evidence';
import { Figure } from '../parts/Figure';

export function PoolCard({ pool }: { pool: Feed<Pool> }) {
  return (
    <Card title="Buyback pool" feed={pool}>
      {(data) => (
        <>
          <dl className="row">
            <Price name="Sell one unit" quoted={data.bid} cash={data.state.cash} testid="bid" />
            <Price name="Buy one unit" quoted={data.ask} cash={data.state.cash} testid="ask" />
            {data.valuation !== null && (
              <Figure
                name="Fair value"
                value={<span data-testid="fair-value">{sats(data.valuation.fairValueSats)}</span>}
                unit="sat"
                note={data.valuation.fresh ? <Badge tone="good">fresh</Badge> : <Badge tone="wait">stale</Badge>}
              />
            )}
          </dl>
          {data.valuation === null && <Empty>No valuation yet: the pool quotes after the first report.</Empty>}
          <dl className="row small">
            <Figure name="Cash" value={quote(data.state.cash, 2)} unit="USD" />
            <Figure name="May leave now" value={quote(data.state.outflowLeft, 2)} unit="USD" />
            <Figure name="Units held" value={units(data.state.inventory)} note={<Fill pool={data} />} />
            <Figure name="In the exit queue" value={waiting(data)} />
          </dl>
          <Evidence>
            The pool contract’s answers at the block shown above{data.valuation && <>; valued from the report of epoch {group(data.valuation.epoch)}</>}.
            A sale executes at its quote or better, or not at all.
          </Evidence>
        </>
      )}
    </Card>
  );
}

function Price({ name, quoted, cash, testid }: { name: string; quoted: Quote; cash: string; testid: string }) {
  if (quoted.quote === null) return <Figure name={name} value="–" note={refusal(quoted.why, cash)} />;
  return <Figure name={name} value={<span data-testid={testid}>{quote(quoted.quote, 4)}</span>} unit="USD" />;
}

function Fill({ pool }: { pool: Pool }) {
  const share = permille(BigInt(pool.state.inventory), BigInt(pool.state.inventoryMax));
  return <>{`${share / 10n} % of its limit`}</>;
}

function waiting(pool: Pool): string {
  const left = pool.tickets.map((one) => BigInt(one.units) - BigInt(one.settledUnits) - BigInt(one.takenBack));
  return units(left.reduce((sum, one) => sum + (one > 0n ? one : 0n), 0n).toString());
}
