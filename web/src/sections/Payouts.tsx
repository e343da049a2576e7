// What was paid, in which Bitcoin transaction, and whether the contract has seen the proof.
import type { Feed } from '../api/live';
import type { Court, Epoch, Status } from '../api/types';
import { group, quote, sats } from '../lib/format';
import { Badge } from '../parts/Badge';
import { Card, Empty } from '../parts/Card';
import { Evidence } from '../parts/Evidence';
import { Hash } from '../parts/Hash';

interface Props {
  epochs: Feed<{ epochs: Epoch[] }>;
  status: Feed<Status>;
  court: Feed<Court>;
}

export function Payouts({ epochs, status, court }: Props) {
  return (
    <Card title="Payouts" feed={epochs} wide>
      {(data) => (
        <>
          {data.epochs.length === 0 ? (
            <Empty>No epoch is committed yet. The first payout follows the first report.</Empty>
          ) : (
            <div className="scroll">
              <table>
                <thead>
                  <tr><th scope="col">Epoch</th><th scope="col" className="num">Paid, sat</th><th scope="col" className="num">Accounts</th><th scope="col">Bitcoin transaction</th><th scope="col">State</th></tr>
                </thead>
                <tbody>{data.epochs.map((epoch) => <Row key={epoch.epoch} epoch={epoch} />)}</tbody>
              </table>
            </div>
          )}
          {court.data && <CourtLine court={court.data} />}
          <Evidence>
            “Proven” means that the EpochLedger contract checked the transaction, its Merkle branch and the work of at
            least six {status.data?.bitcoinNetwork ?? 'Bitcoin'} headers on top of it. The txid is taken from that proof.
          </Evidence>
        </>
      )}
    </Card>
  );
}

/** What stands behind the roots: the bond, and whether anybody showed a fault. */
function CourtLine({ court }: { court: Court }) {
  const { held, required, sufficient } = court.bond;
  const waiting = court.demands.filter((demand) => demand.state === 'waiting').length;
  const [last] = court.faults;
  return (
    <p className="quiet" data-testid="court">
      Bond of the operator: {quote(held)}{required !== null && ` of ${quote(required)} required`}
      {sufficient === false && ' (too little: nothing is minted or sold)'}.{' '}
      {last ? `Last fault upheld: ${last.fault} in epoch ${group(last.epoch)}.` : 'No fault was ever upheld.'}
      {waiting > 0 && ` ${waiting} demands wait for an answer.`}
    </p>
  );
}

function Row({ epoch }: { epoch: Epoch }) {
  const txids = epoch.batches.map((batch) => batch.bitcoinTxid).filter((txid) => txid !== null);
  return (
    <tr>
      <th scope="row">{group(epoch.epoch)}</th>
      <td className="num">{sats(epoch.totalSats)}</td>
      <td className="num">{group(epoch.accounts)}</td>
      <td>
        {txids.length === 0 ? (
          <span className="quiet">{epoch.state === 'committed' ? 'known here once proven' : 'none'}</span>
        ) : (
          txids.map((txid) => <Hash key={txid} text={txid} label="txid" ends={10} />)
        )}
      </td>
      <td><State epoch={epoch} /></td>
    </tr>
  );
}

function State({ epoch }: { epoch: Epoch }) {
  switch (epoch.state) {
    case 'proven':
      return <Badge tone="good">✓ proven</Badge>;
    case 'committed':
      return <Badge tone="wait">on its way</Badge>;
    case 'deferred':
      return <Badge tone="wait">deferred to the next</Badge>;
    case 'empty':
      return <Badge tone="quiet">nothing due</Badge>;
  }
}
