// The page: what the pipeline does now, from machines to Bitcoin, and where each number comes from.
import { useState } from 'react';

import { useLive } from './api/live';
import { Header } from './sections/Header';
import { Headline } from './sections/Headline';
import { Machines } from './sections/Machines';
import { OrderBook } from './sections/OrderBook';
import { Outage } from './sections/Outage';
import { PayoutAddress } from './sections/PayoutAddress';
import { Payouts } from './sections/Payouts';
import { Pipeline } from './sections/Pipeline';
import { PoolCard } from './sections/PoolCard';
import { ReportCard } from './sections/ReportCard';
import { Trades } from './sections/Trades';

export function App() {
  const [chosen, choose] = useState('1');
  const live = useLive(chosen);
  const all = live.series.data?.series ?? [];
  const series = all.find((one) => one.id === chosen) ?? null;
  const now = BigInt(live.status.data?.chainTime ?? '0');
  return (
    <>
      <a className="skip" href="#main">Skip to the content</a>
      <Header status={live.status} />
      <main id="main">
        <Outage status={live.status} />
        <Headline live={live} series={series} all={all} choose={choose} />
        <Pipeline live={live} />
        <div className="grid">
          <Machines fleet={live.fleet} />
          <ReportCard reports={live.reports} conversion={live.conversion} />
          <PoolCard pool={live.pool} />
          <OrderBook book={live.book} />
          <Trades trades={live.trades} now={now} />
          <Payouts epochs={live.epochs} status={live.status} court={live.court} />
          <PayoutAddress deployment={live.deployment} status={live.status} />
        </div>
      </main>
      <footer>
        <p>
          A report is a signed statement by a quorum, not a proof. Money is proven by the two chains: anyone can recompute
          every payout from them with <code>./scripts/audit</code>, without this page and without trusting us.
        </p>
      </footer>
    </>
  );
}
