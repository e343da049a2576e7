// Signed orders: the best of each side, and what of them can be filled now.
import type { Feed } from '../api/live';
import type { Book, Entry } from '../api/types';
import { quote, units } from '../lib/format';
import { Card, Empty } from '../parts/Card';
import { Evidence } from '../parts/Evidence';

const DEPTH = 5;

const REASONS = {
  maker_balance: 'the maker holds less',
  maker_allowance: 'the maker allows less',
};

interface Props {
  book: Feed<Book>;
}

export function OrderBook({ book }: Props) {
  return (
    <Card title="Order book" feed={book}>
      {(data) => (
        <>
          <div className="book" data-testid="book">
            <Side title="Sell orders" entries={data.asks} className="ask" />
            <Side title="Buy orders" entries={data.bids} className="bid" />
          </div>
          <Evidence>
            Orders are signed by their makers and checked against their wallets at this block; nobody holds the units in
            escrow.
          </Evidence>
        </>
      )}
    </Card>
  );
}

function Side({ title, entries, className }: { title: string; entries: Entry[]; className: string }) {
  return (
    <div className={className}>
      <h3>{title}</h3>
      {entries.length === 0 ? (
        <Empty>None.</Empty>
      ) : (
        <table>
          <thead><tr><th scope="col">Price, USD</th><th scope="col" className="num">Units</th></tr></thead>
          <tbody>
            {entries.slice(0, DEPTH).map((entry) => (
              <tr key={entry.hash}>
                <td className="price">{quote(entry.price, 4)}</td>
                <td className="num">
                  {units(entry.fillable)}
                  {entry.reason !== null && <span className="why">{REASONS[entry.reason]}</span>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
