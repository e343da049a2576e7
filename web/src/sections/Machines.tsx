// Machines, the coin they work on, and why.
import type { Feed } from '../api/live';
import type { Fleet, FleetStatus } from '../api/types';
import { ago, fixed, group } from '../lib/format';
import { Badge } from '../parts/Badge';
import { Card, Empty } from '../parts/Card';
import { Evidence } from '../parts/Evidence';
import { Figure } from '../parts/Figure';

const REASONS: Record<string, string> = {
  start: 'the first venue',
  better_venue: 'it pays more',
  venue_lost: 'the other venue was lost',
  best: 'it pays most',
  hysteresis: 'the gain is too small to move',
  dwell: 'it moved a moment ago',
  no_venue: 'no venue pays',
};

export function Machines({ fleet }: { fleet: Feed<Fleet> }) {
  return (
    <Card title="Machines" feed={fleet} wide>
      {(answer) =>
        answer.fleet === null ? (
          <Empty>The fleet is not telling: {answer.why ?? 'no reason given'}. Units, book, pool and payouts do not depend on it.</Empty>
        ) : (
          <Status status={answer.fleet} />
        )
      }
    </Card>
  );
}

function Status({ status }: { status: FleetStatus }) {
  const now = BigInt(status.time);
  const { current, switch_latency_micros: latency } = status;
  return (
    <>
      <dl className="row">
        <Figure
          name="Working on"
          value={<span data-testid="coin">{current?.coin ?? 'nothing'}</span>}
          note={current === null ? 'idle' : `${current.venue}, since ${ago(BigInt(current.since), now)}`}
        />
        <Figure name="Switches" value={group(status.switches.toString())} note={`${group(status.disconnects.toString())} disconnects`} />
        <Figure
          name="Last switch took"
          value={latency.switches === 0 ? '–' : fixed(BigInt(latency.last), 3, 2)}
          unit="ms"
          note="decision to last byte in the kernel"
        />
      </dl>
      <div className="columns">
        <MachineTable status={status} />
        <Decisions status={status} now={now} />
      </div>
      <Evidence>
        The switching service’s own statement, from its hash-chained journal. Shares count only when a pool acknowledged
        them; a pool’s payments show up as receipts in the report.
      </Evidence>
    </>
  );
}

function MachineTable({ status }: { status: FleetStatus }) {
  if (status.machines.length === 0) return <Empty>No machines are configured.</Empty>;
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr><th scope="col">Machine</th><th scope="col">State</th><th scope="col" className="num">Accepted</th><th scope="col" className="num">Refused</th></tr>
        </thead>
        <tbody>
          {status.machines.map((machine) => (
            <tr key={machine.serial}>
              <th scope="row">{machine.serial}</th>
              <td>
                {!machine.connected ? <Badge tone="bad">offline</Badge> : machine.venue === null ? <Badge tone="wait">idle</Badge> : <Badge tone="good">{machine.venue}</Badge>}
              </td>
              <td className="num">{group(machine.accepted.toString())}</td>
              <td className="num">{group((machine.rejected + machine.stale).toString())}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Decisions({ status, now }: { status: FleetStatus; now: bigint }) {
  const moves = status.decisions.filter((decision) => decision.action !== 'stay').slice(0, 5);
  return (
    <div>
      <h3>Last switches</h3>
      {moves.length === 0 && <Empty>No switch yet.</Empty>}
      <ol className="moves">
        {moves.map((move) => (
          <li key={`${move.time}-${move.venue}`}>
            <span>
              {move.action === 'idle' ? 'stopped' : <>to <b>{move.venue}</b></>}: {REASONS[move.reason] ?? move.reason}
            </span>
            <span className="quiet">{rates(move.rates)} · {ago(BigInt(move.time), now)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function rates(rates: FleetStatus['rates']): string {
  return rates.map((rate) => `${rate.venue} ${group(rate.millisats_per_mhash)}`).join(' vs ') + ' msat/MH';
}
