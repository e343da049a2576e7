// The stages in order, each with its newest artifact.
import type { Live } from '../api/live';
import { btc, group, sats } from '../lib/format';
import type { Tone } from '../parts/Badge';

interface Stage {
  name: string;
  says: string;
  tone: Tone;
}

export function Pipeline({ live }: { live: Live }) {
  return (
    <ol className="pipeline" aria-label="Pipeline">
      {stages(live).map((stage) => (
        <li key={stage.name} className={stage.tone}>
          <span className="stage">{stage.name}</span>
          <span className="says">{stage.says}</span>
        </li>
      ))}
    </ol>
  );
}

function stages(live: Live): Stage[] {
  return [machines(live), switching(live), conversion(live), report(live), commitment(live), payout(live)];
}

function machines({ fleet }: Live): Stage {
  const status = fleet.data?.fleet;
  if (!status) return { name: 'Machines', says: told(fleet.data, 'no word from the fleet'), tone: down(fleet.data) };
  const connected = status.machines.filter((machine) => machine.connected).length;
  const all = status.machines.length;
  const tone = connected === all && all > 0 ? 'good' : connected > 0 ? 'wait' : 'bad';
  return { name: 'Machines', says: `${connected} of ${all} at work`, tone };
}

function switching({ fleet }: Live): Stage {
  const status = fleet.data?.fleet;
  if (!status) return { name: 'Switching', says: told(fleet.data, 'does not answer'), tone: down(fleet.data) };
  if (status.current === null) return { name: 'Switching', says: 'idle', tone: 'wait' };
  return { name: 'Switching', says: `mining ${status.current.coin}`, tone: 'good' };
}

function conversion({ conversion }: Live): Stage {
  const status = conversion.data?.conversion;
  if (!status) return { name: 'Conversion', says: told(conversion.data, 'does not answer'), tone: down(conversion.data) };
  if (status.trouble !== null) return { name: 'Conversion', says: 'needs attention', tone: 'bad' };
  return { name: 'Conversion', says: `${btc(status.withdrawnSats)} BTC to treasury`, tone: 'good' };
}

function report({ reports }: Live): Stage {
  const last = reports.data?.reports[0];
  if (!last) return { name: 'Report', says: told(reports.data, 'none yet'), tone: 'quiet' };
  if (last.gap) return { name: 'Report', says: `epoch ${group(last.epoch)}: gap`, tone: 'wait' };
  return { name: 'Report', says: `epoch ${group(last.epoch)}: ${sats(last.potSats)} sat`, tone: 'good' };
}

function commitment({ epochs }: Live): Stage {
  const last = epochs.data?.epochs[0];
  if (!last) return { name: 'Allocation', says: told(epochs.data, 'none yet'), tone: 'quiet' };
  return { name: 'Allocation', says: `epoch ${group(last.epoch)} committed`, tone: 'good' };
}

function payout({ epochs }: Live): Stage {
  const proven = epochs.data?.epochs.find((epoch) => epoch.state === 'proven');
  if (proven) return { name: 'Bitcoin', says: `epoch ${group(proven.epoch)} paid and proven`, tone: 'good' };
  const waiting = epochs.data?.epochs.some((epoch) => epoch.state === 'committed');
  return { name: 'Bitcoin', says: waiting ? 'waiting for confirmations' : told(epochs.data, 'none yet'), tone: waiting ? 'wait' : 'quiet' };
}

function down(answer: { why: string | null } | null): Tone {
  return answer === null ? 'quiet' : 'bad';
}

/** Words for an answer without content; before any answer, nothing is claimed. */
function told(answer: object | null, words: string): string {
  return answer === null ? '…' : words;
}
