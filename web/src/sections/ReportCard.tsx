// The last fleet report, and how mined coins became its bitcoin.
import type { Feed } from '../api/live';
import type { Conversion, ConversionStatus, Report, Reports } from '../api/types';
import { btc, group, hashrate, percent, quote, sats } from '../lib/format';
import { Badge } from '../parts/Badge';
import { Card, Empty } from '../parts/Card';
import { Evidence } from '../parts/Evidence';
import { Figure } from '../parts/Figure';
import { Hash } from '../parts/Hash';

interface Props {
  reports: Feed<Reports>;
  conversion: Feed<Conversion>;
}

export function ReportCard({ reports, conversion }: Props) {
  return (
    <Card title="Last report" feed={reports}>
      {(answer) => {
        const last = answer.reports[0];
        if (last === undefined) {
          return <Empty>No epoch is reported yet. The first report comes after the first epoch closes.</Empty>;
        }
        return last.gap ? <Gap report={last} /> : <Body report={last} answer={answer} conversion={conversion.data?.conversion ?? null} />;
      }}
    </Card>
  );
}

function Gap({ report }: { report: Report }) {
  return <Empty>Epoch {group(report.epoch)} has no report: a gap was declared. Later reports may add what it earned.</Empty>;
}

function Body({ report, answer, conversion }: { report: Report; answer: Reports; conversion: ConversionStatus | null }) {
  const live = report.series.reduce((sum, one) => sum + BigInt(one.liveHashrate), 0n);
  return (
    <>
      <dl className="row">
        <Figure name={`Earned, epoch ${group(report.epoch)}`} value={<span data-testid="pot">{sats(report.potSats)}</span>} unit="sat" />
        <Figure
          name="One bitcoin"
          value={quote(report.quotePerBtc ?? '0', 2)}
          unit="USD"
          note={`sources differ by ${percent(report.quoteSpreadPpm ?? '0')}`}
        />
        <Figure name="Acknowledged by pools" value={hashrate(live.toString())} />
      </dl>
      <h3>Treasury receipts</h3>
      {report.receipts.length === 0 && <Empty>No bitcoin arrived in this epoch.</Empty>}
      <ul className="plain">
        {report.receipts.map((receipt) => (
          <li key={`${receipt.txid}:${receipt.vout}`}>
            <span><Hash text={receipt.txid} label="txid" />:{receipt.vout}</span>
            <span className="num">{sats(receipt.sats)} sat</span>
          </li>
        ))}
      </ul>
      {conversion !== null && (
        <p className="quiet">
          Converted so far: {btc(conversion.grossSats)} BTC gross, {sats(conversion.tradingFeeSats)} sat in fees.
        </p>
      )}
      <h3>Signed by</h3>
      <p className="chips">
        {report.signers?.map((signer) => <Hash key={signer} text={signer} label="signer" ends={4} />) ?? <span className="quiet">posted through another contract</span>}
        {answer.quorum !== null && <Badge tone="good">{answer.quorum} of {answer.signers.length} needed</Badge>}
      </p>
      <Evidence>
        FleetOracle event in block {group(report.block)}; the contract checked the signatures. Each receipt is a Bitcoin
        output anyone can look up; that the work was done is the signers’ word.
      </Evidence>
    </>
  );
}
