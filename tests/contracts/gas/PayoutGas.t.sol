// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {EpochLedger} from "../../../contracts/EpochLedger.sol";
import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";
import {Bitcoin} from "../utils/Bitcoin.sol";
import {LedgerFixture} from "../utils/LedgerFixture.sol";
import {GasTable} from "./GasTable.sol";
import {Meter} from "./Meter.sol";

/// @notice Whole transactions that prove a payout of 200 outputs, three in four P2WPKH and one P2TR: six headers, branches
/// of twelve siblings. And one header of a long chain, without its calldata.
/// forge-config: default.isolate = true
contract PayoutGasTest is GasTable, LedgerFixture {
    uint256 private constant _OUTPUTS = 200;
    bytes32 private _last = _BATON;

    function setUp() public override {
        super.setUp();
        _ledger = new EpochLedger(address(_manager), address(_oracle), address(_relay), address(0), 6);
        _ledger.setBaton(_BATON, 1);
    }

    function test_gas() public {
        IEpochLedger.Proof memory proof = _next(70_000);
        _ledger.provePayout(70_000, 0, paying(70_000), proof);
        record("payout200FirstEver");
        proof = _next(70_001);
        _ledger.provePayout(70_001, 0, paying(70_001), proof);
        record("payout200Floor"); // 40 gas a byte that is not zero, 10 one that is, whatever is computed (EIP-7623)
        proof = _next(70_002);
        bytes memory data = abi.encodeCall(IEpochLedger.provePayout, (70_002, 0, paying(70_002), proof));
        uint256 used = new Meter().measure(address(_ledger), data) + 21_000;
        for (uint256 i = 0; i < data.length; ++i) {
            used += data[i] == 0 ? 4 : 16;
        }
        assertTrue(_ledger.isProven(70_002), "proven");
        record("payout200", used);
        _header();
        check("payout");
    }

    function _outputs(uint32 epoch) private pure returns (Bitcoin.Output[] memory list) {
        list = new Bitcoin.Output[](_OUTPUTS);
        for (uint256 i = 0; i < _OUTPUTS; ++i) {
            bytes32 seed = keccak256(abi.encode(epoch, i));
            bytes memory script =
                i % 4 == 3 ? abi.encodePacked(hex"5120", seed) : abi.encodePacked(hex"0014", bytes20(seed));
            list[i] = Bitcoin.Output(60_000 + uint64(i) * 1_000_003 % 900_000, script);
        }
    }

    /// @dev Commits the next epoch and answers with its proof.
    function _next(uint32 epoch) private returns (IEpochLedger.Proof memory proof) {
        Bitcoin.Output[] memory list = _outputs(epoch);
        IEpochLedger.Commitment memory c = _commitment(epoch, 1);
        c.root.paidSum -= c.batches[0].total;
        c.batches[0] = IEpochLedger.Batch(keccak256(Bitcoin.serialise(list, 0)), _total(list));
        c.root.paidSum += c.batches[0].total;
        _credit(c);
        _commit(c);
        bytes memory payout = _payout(epoch, 0, _last, _last == _BATON ? 1 : 0, list);
        _last = Bitcoin.hash256(payout);
        proof = Bitcoin.prove(payout, 4_000, 6, epoch);
        assertEq(proof.branch.length, 12 * 32, "a full block");
    }

    function _header() private {
        bytes memory headers;
        bytes memory one;
        bytes32 previous = keccak256("gas");
        for (uint256 i = 0; i < 101; ++i) {
            bytes memory h = Bitcoin.header(previous, 0, Bitcoin.BITS);
            if (i == 0) one = h;
            headers = abi.encodePacked(headers, h);
            previous = Bitcoin.hash256(h);
        }
        uint256 many = new Meter().measure(address(_relay), abi.encodeCall(_relay.checkHeaders, (headers)));
        uint256 single = new Meter().measure(address(_relay), abi.encodeCall(_relay.checkHeaders, (one)));
        record("header", (many - single) / 100);
    }
}
