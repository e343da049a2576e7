// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CreditRule} from "../../../contracts/CreditRule.sol";
import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {LedgerTree} from "../../../contracts/libraries/LedgerTree.sol";
import {Vm} from "../utils/Vm.sol";

/// @notice Everything that CreditRule asks, in one contract: ledger, oracle, registry and token.
contract CreditWorld {
    mapping(address account => uint256) public weight;
    uint256 public total;
    bytes32 private _hash;
    IEpochLedger.Wrapper[] private _wrappers;

    function set(address account, uint256 value) external {
        weight[account] = value;
    }

    function setTotal(uint256 value) external {
        total = value;
    }

    function setReport(bytes32 hash) external {
        _hash = hash;
    }

    function addWrapper(IEpochLedger.Wrapper calldata wrapper) external {
        _wrappers.push(wrapper);
    }

    function oracle() external view returns (address) {
        return address(this);
    }

    function registry() external view returns (address) {
        return address(this);
    }

    function unitOf(uint16) external view returns (address) {
        return address(this);
    }

    function reportHash(uint32) external view returns (bytes32) {
        return _hash;
    }

    function wrappers() external view returns (IEpochLedger.Wrapper[] memory) {
        return _wrappers;
    }

    function wrappersOf(uint16, uint32) external view returns (IEpochLedger.Wrapper[] memory) {
        return _wrappers;
    }

    function wrapperFrom(uint256) external pure returns (uint32) {
        return 0;
    }

    function isWrapper(address account) external view returns (bool) {
        return _wrappers.length != 0 && _wrappers[0].wrapper == account;
    }

    function totalBalanceSeconds(uint32) external view returns (uint256) {
        return total;
    }

    function balanceSeconds(address account, uint32) external view returns (uint256) {
        return weight[account];
    }
}

/// @title LedgerProofs
/// @notice Sums of the payout tree, and credits that never exceed the pot.
contract LedgerProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant _A = address(0xA1);
    address private constant _B = address(0xB2);
    address private constant _WRAPPER = address(0xC3);

    /* TREE */

    function nodeOf(IEpochLedger.Root calldata l, IEpochLedger.Root calldata r)
        external
        pure
        returns (IEpochLedger.Root memory)
    {
        return LedgerTree.nodeHash(l, r);
    }

    function packedRoot(uint256 index, IEpochLedger.Root calldata leaf, bytes calldata siblings)
        external
        pure
        returns (IEpochLedger.Root memory root)
    {
        (bytes32 hash, uint256 acc, uint256 paid) = LedgerTree.rootOfPacked(index, leaf, siblings);
        return IEpochLedger.Root(hash, uint128(acc), uint64(paid));
    }

    function plainRoot(uint256 index, IEpochLedger.Root calldata leaf, IEpochLedger.Root[] calldata siblings)
        external
        pure
        returns (IEpochLedger.Root memory)
    {
        return LedgerTree.rootOf(index, leaf, siblings);
    }

    /// @dev A node's sums are its children's, and a sum that does not fit is refused.
    function check_nodeAddsUpOrRefuses(IEpochLedger.Root calldata l, IEpochLedger.Root calldata r) external view {
        uint256 acc = uint256(l.accSum) + r.accSum;
        uint256 paid = uint256(l.paidSum) + r.paidSum;
        bool fits = acc <= type(uint128).max && paid <= type(uint64).max;
        try this.nodeOf(l, r) returns (IEpochLedger.Root memory node) {
            assert(fits && node.accSum == acc && node.paidSum == paid);
        } catch {
            assert(!fits);
        }
    }

    /// @dev The assembly over packed siblings and the plain code give the same root, or both refuse.
    function check_packedRootIsThePlainOne(
        uint8 index,
        IEpochLedger.Root calldata leaf,
        IEpochLedger.Root calldata s0,
        IEpochLedger.Root calldata s1
    ) external view {
        bytes memory packed = abi.encodePacked(s0.hash, s0.accSum, s0.paidSum, s1.hash, s1.accSum, s1.paidSum);
        IEpochLedger.Root[] memory siblings = new IEpochLedger.Root[](2);
        (siblings[0], siblings[1]) = (s0, s1);
        (bool ok, IEpochLedger.Root memory plain) = _plain(index, leaf, siblings);
        try this.packedRoot(index, leaf, packed) returns (IEpochLedger.Root memory root) {
            assert(ok && root.hash == plain.hash && root.accSum == plain.accSum && root.paidSum == plain.paidSum);
        } catch {
            assert(!ok);
        }
    }

    function _plain(uint256 index, IEpochLedger.Root calldata leaf, IEpochLedger.Root[] memory siblings)
        private
        view
        returns (bool, IEpochLedger.Root memory none)
    {
        try this.plainRoot(index, leaf, siblings) returns (IEpochLedger.Root memory root) {
            return (true, root);
        } catch {
            return (false, none);
        }
    }

    function check_indexBeyondTheTreeIsRefused(uint256 index, IEpochLedger.Root calldata leaf) external view {
        vm.assume(index > 3);
        bytes memory siblings = new bytes(112);
        try this.packedRoot(index, leaf, siblings) {
            assert(false);
        } catch {}
    }

    function check_depthHoldsAllAccounts(uint16 accounts) external pure {
        vm.assume(accounts != 0);
        uint256 depth = LedgerTree.depthOf(accounts);
        assert(1 << depth >= accounts && (depth == 0 || 1 << (depth - 1) < accounts));
    }

    function sumOf(bytes calldata acc, uint16 series) external pure returns (uint256 sum, uint256 one) {
        return LedgerTree.accumulators(acc, series);
    }

    function check_accumulatorsAddUp(uint16 a, uint128 x, uint16 b, uint128 y, uint16 series) external view {
        vm.assume(a < b);
        (uint256 sum, uint256 one) = this.sumOf(abi.encodePacked(a, x, b, y), series);
        assert(sum == uint256(x) + y);
        assert(one == (series == a ? x : series == b ? y : 0));
    }

    function leafOf(bytes calldata acc) external pure returns (bytes32) {
        return LedgerTree.leafHash(_A, 0, 0, 0, 0, acc);
    }

    /// @dev Series ascend from 1, and none has zero credit.
    function check_leafRefusesDisorder(uint16 a, uint128 x, uint16 b, uint128 y) external view {
        bool good = a != 0 && a < b && x != 0 && y != 0;
        try this.leafOf(abi.encodePacked(a, x, b, y)) {
            assert(good);
        } catch {
            assert(!good);
        }
    }

    /* CREDIT */

    function _world(uint64 sats) private returns (CreditWorld world, CreditRule rule, bytes memory report) {
        world = new CreditWorld();
        rule = new CreditRule(address(world));
        IFleetOracle.FleetReport memory r;
        r.epoch = 5;
        r.series = new IFleetOracle.SeriesReport[](1);
        r.series[0].series = 1;
        r.series[0].pots = new IFleetOracle.Piece[](1);
        r.series[0].pots[0] = IFleetOracle.Piece(5, sats);
        report = abi.encode(r);
        world.setReport(keccak256(report));
    }

    function _each(uint8 x, uint256 count) private pure returns (uint256 i) {
        vm.assume(x < count);
        while (i != x) ++i;
    }

    /// @dev Every split of a weight of 7 over two holders and a rest.
    function check_creditsNeverExceedThePot(uint8 a, uint8 b) external {
        (CreditWorld world, CreditRule rule, bytes memory report) = _world(5);
        (uint256 x, uint256 y) = (_each(a, 8), _each(b, 8));
        vm.assume(x + y <= 7);
        world.setTotal(7);
        world.set(_A, x);
        world.set(_B, y);
        uint256 pot = uint256(5) << 64;
        uint256 first = rule.creditOf(5, 1, _A, report);
        uint256 second = rule.creditOf(5, 1, _B, report);
        assert(first + second <= pot);
        // and a floor takes less than one step of 2^-64 sat
        assert(first * 7 <= pot * x && pot * x - first * 7 < 7);
    }

    /// @dev A wrapper has no credit of its own; its holders get what it earned and no more.
    function check_lookThroughNeverExceedsTheWrapper(uint8 a, uint8 b) external {
        (CreditWorld world, CreditRule rule, bytes memory report) = _world(5);
        CreditWorld share = new CreditWorld();
        world.addWrapper(IEpochLedger.Wrapper(1, _WRAPPER, address(share), address(0xF1)));
        (uint256 x, uint256 y) = (_each(a, 6), _each(b, 6));
        vm.assume(x + y <= 5);
        world.setTotal(13);
        world.set(_WRAPPER, 9);
        share.setTotal(5);
        share.set(_A, x);
        share.set(_B, y);
        assert(rule.creditOf(5, 1, _WRAPPER, report) == 0);
        uint256 sum = rule.creditOf(5, 1, _A, report) + rule.creditOf(5, 1, _B, report);
        assert(sum <= (uint256(5) << 64) * 9 / 13);
    }

    function check_otherSeriesGiveNothing(uint16 series) external {
        (CreditWorld world, CreditRule rule, bytes memory report) = _world(5);
        vm.assume(series != 1);
        world.setTotal(1);
        world.set(_A, 1);
        assert(rule.creditOf(5, series, _A, report) == 0);
    }
}
