// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {ERC20} from "solady/tokens/ERC20.sol";
import {IPositionMarket} from "../../../contracts/interfaces/IPositionMarket.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {IRegistrarBond} from "../../../contracts/interfaces/IRegistrarBond.sol";
import {ISeriesRegistry} from "../../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../../contracts/interfaces/ISeriesUpgrader.sol";
import {PositionMarket} from "../../../contracts/PositionMarket.sol";
import {Fixture} from "./Fixture.sol";

/// @notice A quote token that refuses whom it has listed, both as sender and as receiver.
contract BlocklistQuote is ERC20 {
    mapping(address account => bool) public blocked;

    function list(address account) external {
        blocked[account] = true;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _beforeTokenTransfer(address from, address to, uint256) internal view virtual override {
        require(!blocked[from] && !blocked[to], "listed");
    }

    function name() public pure override returns (string memory) {
        return "Blocklist";
    }

    function symbol() public pure override returns (string memory) {
        return "BLK";
    }
}

/// @notice A transfer policy that turns on its holders.
contract TurncoatPolicy {
    bool public hostile;

    function turn(bool hostile_) external {
        hostile = hostile_;
    }

    function canReceive(address, address, uint256) external view returns (bool) {
        if (hostile) revert("nobody");
        return true;
    }
}

/// @notice Every way out, by name, while everything that others control has turned on the holder:
/// the transfer policy refuses everyone, the quote token lists the holder, the LP and the first in the queue, the oracle
/// has been silent for `_silence` epochs, the head of the queue is a contract that refuses every call, the guardian has stopped
/// what it can stop, and the administrator has closed every contract it can close.
/// `_refresh` (a report) and the lifting of one hostility stand where a way out needs them by design, with the reason.
abstract contract Hostilities is Fixture {
    uint256 internal constant _KEY = 0xA11CE;
    address internal constant _POLICY = address(0x9011C4);
    address internal constant _QUOTE = address(0x900733);
    /// @dev the head of the queue: code that reverts on every call
    address internal constant _HEAD = address(0x4EAD);
    address internal constant _CLEAN = address(0xC1EA);
    address internal _holder;
    address internal _lp;
    address internal _buyer;
    /// @dev a signer who was replaced
    address internal _leaver;
    uint256 internal _ticket;

    function configuration() internal view override returns (string memory json) {
        json = vm.replace(super.configuration(), "\"registrar\": 0", "\"registrar\": 1000000000");
        json = vm.replace(json, "\"policy\": \"0x0000000000000000000000000000000000000000\"", _json("policy", _POLICY));
        json = vm.replace(
            json, "\"quoteToken\": \"0x0000000000000000000000000000000000000000\"", _json("quoteToken", _QUOTE)
        );
    }

    function _json(string memory key, address value) private pure returns (string memory) {
        return string.concat("\"", key, "\": \"", vm.toString(value), "\"");
    }

    function setUp() public virtual override {
        vm.etch(_POLICY, type(TurncoatPolicy).runtimeCode);
        vm.etch(_QUOTE, type(BlocklistQuote).runtimeCode);
        super.setUp();
        (_holder, _lp, _buyer) = (vm.addr(_KEY), actor(1), actor(2));
        registerUnits(1000e18);
        fund(_lp, 1e12, address(line.pool));
        vm.prank(_lp);
        line.pool.deposit(1_000_000e6);
        reportAndValue(5_000_000);
        line.pool.roll();
        _buyUnits(_holder, 100e18);
        _buyUnits(_HEAD, 5e18);
        fund(_buyer, 1e12, address(sys.positionMarket));
        vm.prank(_HEAD);
        unit.approve(address(line.queue), type(uint256).max);
        vm.prank(_HEAD);
        line.queue.enqueue(5e18);
        vm.startPrank(_holder);
        unit.approve(address(line.queue), type(uint256).max);
        unit.approve(address(line.pool), type(uint256).max);
        unit.approve(address(sys.positionMarket), type(uint256).max);
        _ticket = line.queue.enqueue(10e18);
        line.pool.sell(1e18, 0, _holder);
        vm.stopPrank();
        _depositAround();
        _turn();
    }

    /// @dev Registration needs the deposit from the first batch on.
    function registerUnits(uint96 units) internal override {
        fund(operator, 1e12, address(sys.registrarBond));
        vm.prank(operator);
        sys.registrarBond.post(2000e6);
        super.registerUnits(units);
    }

    /// @dev Money in every other contract that holds some: an upgrade's scrap, the stake of a signer who left, and what
    /// an equivocation and a duplicate serial owe.
    function _depositAround() private {
        bytes32 root = sys.seriesRegistry.series(1).lastMachineRoot;
        fund(operator, 1e12, address(sys.seriesUpgrader));
        vm.prank(operator);
        sys.seriesUpgrader.propose(_upgradeOf(root), "S23");
        _leaver = vm.addr(keys[2]);
        _replaceThird();
        _equivocate();
        _duplicate();
    }

    function _upgradeOf(bytes32 root) private view returns (ISeriesUpgrader.Upgrade memory u) {
        (u.series, u.retiredRoot, u.generation, u.modelHash) = (1, root, 2, keccak256("S23"));
        (u.machineRoot, u.machines, u.hashrate) = (keccak256("second generation"), 2, 2500);
        (u.vendor, u.price, u.scrap) = (address(0x7E4D04), 990e6, 1000e6);
    }

    function _replaceThird() private {
        uint256 key = 100;
        while (vm.addr(key) <= vm.addr(keys[1])) ++key;
        keys[2] = key;
        address[] memory list = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            list[i] = vm.addr(keys[i]);
        }
        vm.prank(operator);
        sys.fleetOracle.setSigners(list, 2);
        address[] memory added = new address[](1);
        added[0] = list[2];
        stakeFor(added);
    }

    /// @dev The new third signer signs two valuations at once; the clean account shows it.
    function _equivocate() private {
        IFleetOracle.FleetValuation memory v;
        v.epoch = epochNow();
        (bytes32 one, bytes32 two) = (keccak256(abi.encode(v)), keccak256("another"));
        bytes32 kind = keccak256("FleetValuation(uint32 epoch,uint16 round,bytes32 valuationHash)");
        bytes32 domain = _domainOfOracle();
        bytes memory a = _signed3(domain, keccak256(abi.encode(kind, v.epoch, uint16(0), one)));
        bytes memory b = _signed3(domain, keccak256(abi.encode(kind, v.epoch, uint16(0), two)));
        vm.prank(_CLEAN);
        sys.fleetOracle.equivocation(true, v.epoch, 0, one, a, two, b);
    }

    function _domainOfOracle() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Liquid Hashrate FleetOracle"),
                keccak256("1"),
                block.chainid,
                address(sys.fleetOracle)
            )
        );
    }

    function _signed3(bytes32 domain, bytes32 structHash) private view returns (bytes memory) {
        return signatureOf(keys[2], keccak256(abi.encodePacked(hex"1901", domain, structHash)));
    }

    /// @dev One machine under two roots of the series, shown by the clean account.
    function _duplicate() private {
        bytes memory machine = "Bitmain1";
        bytes32 leaf = keccak256(machine);
        bytes32 other = keccak256("Bitmain2");
        bytes32 pair = leaf < other ? keccak256(abi.encode(leaf, other)) : keccak256(abi.encode(other, leaf));
        _registerRoot(leaf);
        _registerRoot(pair);
        IRegistrarBond.Place memory alone = IRegistrarBond.Place(leaf, new bytes32[](0));
        IRegistrarBond.Place memory paired = IRegistrarBond.Place(pair, new bytes32[](1));
        paired.branch[0] = other;
        vm.prank(_CLEAN);
        sys.registrarBond.duplicateSerial(machine, alone, paired);
    }

    function _registerRoot(bytes32 root) private {
        ISeriesRegistry.Batch memory batch = batchOf(1e18);
        batch.machineRoot = root;
        sys.seriesRegistry.registerBatch(batch, signed(sys.seriesRegistry.batchDigest(batch), 2));
    }

    function _buyUnits(address who, uint256 units) private {
        fund(who, 1e12, address(sys.primarySale));
        vm.prank(who);
        sys.primarySale.buy(1, units, type(uint256).max, who);
    }

    function _turn() private {
        TurncoatPolicy(_POLICY).turn(true);
        address[5] memory listed = [_holder, _lp, _HEAD, _leaver, operator];
        for (uint256 i = 0; i < 5; ++i) {
            BlocklistQuote(_QUOTE).list(listed[i]);
        }
        vm.etch(_HEAD, hex"5f5ffd"); // revert(0, 0)
        vm.startPrank(guardian);
        line.pool.setStopped(true);
        sys.primarySale.setStopped(true);
        sys.seriesRegistry.setStopped(true);
        vm.stopPrank();
        address[9] memory managed = [
            address(sys.seriesUpgrader),
            address(sys.registrarBond),
            address(line.pool),
            address(sys.primarySale),
            address(sys.seriesRegistry),
            address(sys.fairValue),
            address(sys.fleetOracle),
            address(sys.epochLedger),
            address(sys.ledgerCourt)
        ];
        vm.startPrank(operator);
        for (uint256 i = 0; i < managed.length; ++i) {
            AccessManager(sys.accessManager).setTargetClosed(managed[i], true);
        }
        vm.stopPrank();
        skip(_silence() * EPOCH);
    }

    /// @dev epochs without a word of the oracle; from 21 on the pool is wound down
    function _silence() internal pure virtual returns (uint256) {
        return 30;
    }

    /// @dev The quorum speaks again: an instant sale to the pool is at a fresh value or not at all.
    function _refresh() internal {
        while (sys.fleetOracle.lastEpoch() + 5 < epochNow()) {
            sys.fleetOracle.declareGap(sys.fleetOracle.lastEpoch() + 1);
        }
        while (sys.fleetOracle.lastEpoch() + 1 < epochNow()) {
            reportAndValue(5_000_000);
        }
    }

    function _market() internal view returns (PositionMarket) {
        return sys.positionMarket;
    }

    function _order(address maker, uint8 side) internal view returns (IPositionMarket.Order memory) {
        return IPositionMarket.Order(
            maker, address(0), line.unit, _QUOTE, side, 4e18, 84e6, type(uint40).max, 0, uint64(side)
        );
    }

    function _post(address maker, uint8 side) internal returns (IPositionMarket.Order memory order) {
        order = _order(maker, side);
        vm.prank(maker);
        sys.positionMarket.post(order);
    }

    function _signed(bytes32 digest) internal pure returns (bytes memory) {
        return signatureOf(_KEY, digest);
    }

    /// @dev The market pays the order's own maker or taker. Whom the issuer of the money has listed sells by the pool or
    /// the queue, which pay any account, or for a quote token that has no list.
    function _unlist() internal {
        vm.etch(_QUOTE, type(OpenQuote).runtimeCode);
    }
}

/// @notice The same token with its list taken away.
contract OpenQuote is BlocklistQuote {
    function _beforeTokenTransfer(address, address, uint256) internal pure override {}
}
