// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {BitcoinRelay} from "../../../contracts/BitcoinRelay.sol";
import {EpochLedger} from "../../../contracts/EpochLedger.sol";
import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";
import {Bitcoin} from "./Bitcoin.sol";
import {FixedOracle} from "./Mocks.sol";
import {Records} from "./Records.sol";

/// @title LedgerFixture
/// @notice A ledger with five reported epochs, its baton set, and builders of commitments and payouts.
abstract contract LedgerFixture is Records {
    EpochLedger internal _ledger;
    FixedOracle internal _oracle;
    BitcoinRelay internal _relay;
    AccessManager internal _manager;
    bytes32 internal constant _BATON = keccak256("first baton");
    uint64 internal constant _POT = 2_000_000_000;

    function setUp() public virtual {
        vm.warp(70_000 * EPOCH + 50);
        _manager = new AccessManager(address(this));
        _oracle = new FixedOracle(70_000);
        _relay = new BitcoinRelay(Bitcoin.TARGET, true, 0, 0, "");
        _ledger = new EpochLedger(address(_manager), address(_oracle), address(_relay), address(0), 3);
        _ledger.setBaton(_BATON, 1);
        vm.warp(70_005 * EPOCH + 50);
        for (uint32 e = 70_000; e < 70_005; ++e) {
            _oracle.report(e, _POT);
        }
    }

    function _payees(uint32 epoch, uint256 batch) internal pure returns (Bitcoin.Output[] memory list) {
        list = new Bitcoin.Output[](3);
        bytes32 seed = keccak256(abi.encode(epoch, batch));
        list[0] = Bitcoin.Output(60_000, abi.encodePacked(hex"0014", bytes20(seed)));
        list[1] = Bitcoin.Output(70_000 + uint64(batch), abi.encodePacked(hex"5120", seed));
        list[2] = Bitcoin.Output(546, abi.encodePacked(hex"76a914", bytes20(seed), hex"88ac"));
    }

    function _total(Bitcoin.Output[] memory list) internal pure returns (uint64 sum) {
        for (uint256 i = 0; i < list.length; ++i) {
            sum += list[i].sats;
        }
    }

    function _commitment(uint32 epoch, uint256 batches) internal view returns (IEpochLedger.Commitment memory c) {
        c.epoch = epoch;
        c.root = IEpochLedger.Root(keccak256(abi.encode("root", epoch)), 0, _paidSum());
        c.accounts = 3;
        c.minPay = 50_000;
        c.funding = new IEpochLedger.OutPoint[](1);
        c.batches = new IEpochLedger.Batch[](batches);
        for (uint256 i = 0; i < batches; ++i) {
            Bitcoin.Output[] memory list = _payees(epoch, i);
            c.batches[i] = IEpochLedger.Batch(keccak256(Bitcoin.serialise(list, 0)), _total(list));
            c.root.paidSum += c.batches[i].total;
        }
        _credit(c);
    }

    /// @dev Of the newest root.
    function _paidSum() internal view returns (uint64 sum) {
        (, sum,) = _ledger.newest();
    }

    /// @dev Credits just what is paid.
    function _credit(IEpochLedger.Commitment memory c) internal pure {
        c.root.accSum = uint128(uint256(c.root.paidSum) << 64);
    }

    function _commit(IEpochLedger.Commitment memory c) internal {
        _ledger.commit(c);
        // unless the test expected it to be refused
        if (recordOf[c.epoch].epoch == 0 && _ledger.commitmentHash(c.epoch) != 0) note(c);
    }

    /// @dev Outputs with the marker at `position`; a baton output stands before a marker at 1.
    function _withMarker(uint32 epoch, uint16 batch, uint256 position, Bitcoin.Output[] memory list)
        internal
        pure
        returns (Bitcoin.Output[] memory outputs)
    {
        outputs = new Bitcoin.Output[](list.length + position + 1);
        if (position == 1) outputs[0] = Bitcoin.Output(1_000_000, abi.encodePacked(hex"0014", bytes20("baton")));
        bytes32 root = keccak256(abi.encode("root", epoch));
        bytes memory marker = abi.encodePacked(hex"6a284c485231", epoch, batch, bytes30(root));
        outputs[position] = Bitcoin.Output(0, marker);
        for (uint256 i = 0; i < list.length; ++i) {
            outputs[position + 1 + i] = list[i];
        }
    }

    function _payout(uint32 epoch, uint16 batch, bytes32 txid, uint32 vout, Bitcoin.Output[] memory list)
        internal
        pure
        returns (bytes memory)
    {
        return Bitcoin.transaction(txid, vout, _withMarker(epoch, batch, 1, list));
    }

    /// @dev The only batch of `epoch`, spending `txid`; the first baton is output 1, later ones output 0.
    function _single(uint32 epoch, bytes32 txid, uint256 confirmations)
        internal
        pure
        returns (IEpochLedger.Proof memory)
    {
        return Bitcoin.prove(_payout(epoch, 0, txid, 1, _payees(epoch, 0)), 3, confirmations, epoch);
    }

    function _rootTransaction(uint32 epoch, bytes32 baton, uint256 chunks) internal pure returns (bytes memory) {
        Bitcoin.Output[] memory list = new Bitcoin.Output[](chunks);
        for (uint256 i = 0; i < chunks; ++i) {
            list[i] = Bitcoin.Output(200_000, abi.encodePacked(hex"5120", keccak256(abi.encode("chunk", i))));
        }
        return _payout(epoch, 0xffff, baton, 0, list);
    }

    function _chunk(uint32 epoch, uint16 batch, bytes32 rootTxid, uint256 confirmations)
        internal
        pure
        returns (IEpochLedger.Proof memory)
    {
        Bitcoin.Output[] memory outputs = _withMarker(epoch, batch, 0, _payees(epoch, batch));
        return Bitcoin.prove(Bitcoin.transaction(rootTxid, 2 + batch, outputs), 5, confirmations, 77 + batch);
    }
}
