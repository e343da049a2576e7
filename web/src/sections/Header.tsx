// The name, and whether the page is live.
import type { Feed } from '../api/live';
import type { Status } from '../api/types';
import { Badge } from '../parts/Badge';
import { group } from '../lib/format';

// The chain id of the demo's EVM node.
const DEV_CHAIN = '31337';

export function Header({ status }: { status: Feed<Status> }) {
  const { data, error } = status;
  return (
    <header>
      <p className="brand"><img src="/favicon.svg" alt="" width="28" height="28" /> Liquid Hashrate</p>
      <p className="state" role="status">
        {data?.chainId === DEV_CHAIN && <span title="Eight hours of chain time pass in half a minute.">dev chain, time runs 960× as fast</span>}
        {data !== null && (
          <span className="block">
            block <b data-testid="block">{group(data.block.number)}</b>
            {data.finalized !== null && <span className="final"> · final to {group(data.finalized)}</span>}
          </span>
        )}
        {error !== null ? (
          <Badge tone="bad">offline</Badge>
        ) : data === null ? (
          <Badge tone="quiet">connecting</Badge>
        ) : data.ready ? (
          <Badge tone="good">live</Badge>
        ) : (
          <Badge tone="wait">catching up</Badge>
        )}
      </p>
    </header>
  );
}
