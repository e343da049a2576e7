// What changed hands: between holders, with the pool, from the primary sale.
import type { Feed } from '../api/live';
import type { Trade } from '../api/types';
import { ago, quote, units } from '../lib/format';
import { Card, Empty } from '../parts/Card';
import { Evidence } from '../parts/Evidence';

const WORDS = {
  market: { buy: 'bought from a holder', sell: 'sold to a holder' },
  pool: { buy: 'bought from the pool', sell: 'sold to the pool' },
  primary: { buy: 'bought from the primary sale', sell: 'sold to the primary sale' },
};

export function Trades({ trades, now }: { trades: Feed<{ trades: Trade[] }>; now: bigint }) {
  return (
    <Card title="Last trades" feed={trades}>
      {(data) => (
        <>
          {data.trades.length === 0 && <Empty>Nothing has changed hands yet.</Empty>}
          <ul className="plain">
            {data.trades.slice(0, 6).map((trade) => (
              <li key={`${trade.block}-${trade.logIndex}`}>
                <span>{units(trade.units)} units {WORDS[trade.venue][trade.side]}</span>
                <span className="num">{quote(trade.quoteAmount, 2)} USD <span className="quiet">{ago(BigInt(trade.timestamp), now)}</span></span>
              </li>
            ))}
          </ul>
          <Evidence>Each line is a contract event; its transaction is in GET /v1/trades.</Evidence>
        </>
      )}
    </Card>
  );
}
