// Registers a checked address through a wallet, or says how to do it without one.
import { useState } from 'react';

import type { CheckedAddress, Deployment } from '../api/types';
import { Hash } from '../parts/Hash';
import { useWallets, type Wallet } from './discover';
import { reason, registerScript } from './send';

type State =
  | { step: 'ready' }
  | { step: 'asking' }
  | { step: 'sent'; hash: string }
  | { step: 'done'; hash: string }
  | { step: 'failed'; why: string };

interface Props {
  checked: CheckedAddress;
  deployment: Deployment | null;
}

export function Register({ checked, deployment }: Props) {
  const wallets = useWallets();
  const [state, setState] = useState<State>({ step: 'ready' });
  if (deployment === null) return null;
  const register = async (wallet: Wallet) => {
    setState({ step: 'asking' });
    let hash = '';
    try {
      await registerScript(wallet, deployment, checked.scriptPubKey, (sent) => {
        hash = sent;
        setState({ step: 'sent', hash });
      });
      setState({ step: 'done', hash });
    } catch (error) {
      setState({ step: 'failed', why: reason(error) });
    }
  };
  const busy = state.step === 'asking' || state.step === 'sent';
  return (
    <div className="register">
      {wallets.length === 0 && (
        <p className="quiet">
          No wallet was found in this browser. With any other, call <code>setScript</code> of the PayoutRegistry{' '}
          <Hash text={deployment.payoutRegistry} label="contract" /> with the script above and minimum 0.
        </p>
      )}
      {wallets.map((wallet) => (
        <button key={wallet.id} type="button" disabled={busy} onClick={() => register(wallet)}>
          Register with {wallet.name}
        </button>
      ))}
      <p aria-live="polite" data-testid="register-state" data-step={state.step}>
        {state.step === 'asking' && 'Confirm in your wallet…'}
        {state.step === 'sent' && <>Sent, waiting for the block: <Hash text={state.hash} label="transaction" /></>}
        {state.step === 'done' && <>Registered. It counts from the next epoch. <Hash text={state.hash} label="transaction" /></>}
        {state.step === 'failed' && <span className="error">{state.why}</span>}
      </p>
    </div>
  );
}
