// Where payouts go: an address typed here is checked before a wallet is asked to sign anything.
import { type FormEvent, useId, useState } from 'react';

import { ApiError, post } from '../api/client';
import type { Feed } from '../api/live';
import type { CheckedAddress, Deployment, Status } from '../api/types';
import { Evidence } from '../parts/Evidence';
import { Register } from '../wallet/Register';

interface Props {
  deployment: Feed<Deployment>;
  status: Feed<Status>;
}

type Answer = { checked: CheckedAddress } | { error: ApiError } | null;

export function PayoutAddress({ deployment, status }: Props) {
  const id = useId();
  const [text, setText] = useState('');
  const [answer, setAnswer] = useState<Answer>(null);
  const [busy, setBusy] = useState(false);
  const network = status.data?.bitcoinNetwork;
  const check = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      setAnswer({ checked: await post<CheckedAddress>('/v1/addresses/check', { address: text }) });
    } catch (error) {
      setAnswer({ error: error as ApiError });
    } finally {
      setBusy(false);
    }
  };
  const error = answer !== null && 'error' in answer ? answer.error : null;
  const checked = answer !== null && 'checked' in answer ? answer.checked : null;
  return (
    <section className="card wide" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Your payout address</h2>
      <form onSubmit={check} noValidate>
        <label htmlFor={`${id}-address`}>Bitcoin address{network !== undefined && ` (${network})`}</label>
        <div className="field">
          <input
            id={`${id}-address`}
            name="address"
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              setAnswer(null);
            }}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            aria-invalid={error !== null}
            aria-describedby={`${id}-answer`}
          />
          <button type="submit" disabled={busy || text.trim() === ''}>{busy ? 'Checking…' : 'Check'}</button>
        </div>
        <div id={`${id}-answer`} aria-live="polite" className="answer">
          {error !== null && (
            <p className="error" data-testid="address-error" data-code={error.code}>
              <b>{sentence(error.message)}</b> {sentence(error.fix)}
            </p>
          )}
          {checked !== null && (
            <p className="ok" data-testid="address-ok">
              A valid {checked.kind.toUpperCase()} address on {checked.network}. Its script:{' '}
              <code>{checked.scriptPubKey}</code>
            </p>
          )}
        </div>
      </form>
      {checked !== null && <Register key={checked.scriptPubKey} checked={checked} deployment={deployment.data} />}
      <Evidence>
        A script does not say which network it is for, so the contract cannot tell; the indexer checks the typed address.
        A first registration counts from the next epoch, a change after three, and you may cancel it until then.
      </Evidence>
    </section>
  );
}

function sentence(text: string): string {
  if (text === '') return '';
  const full = text[0]?.toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}
