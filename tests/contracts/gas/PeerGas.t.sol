// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {HashrateUnit} from "../../../contracts/tokens/HashrateUnit.sol";
import {GasTable} from "./GasTable.sol";

contract PeerERC20 is ERC20("Peer", "PEER") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

contract PeerVotes is ERC20("Peer", "PEER"), ERC20Permit("Peer"), ERC20Votes {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }

    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }
}

/// @notice What of Uniswap v4's PoolManager and the leanest of its own test routers is called here.
interface IUniswapV4 {
    struct PoolKey {
        address currency0;
        address currency1;
        uint24 fee;
        int24 tickSpacing;
        address hooks;
    }

    struct ModifyLiquidityParams {
        int24 tickLower;
        int24 tickUpper;
        int256 liquidityDelta;
        bytes32 salt;
    }

    struct SwapParams {
        bool zeroForOne;
        int256 amountSpecified;
        uint160 sqrtPriceLimitX96;
    }

    function initialize(PoolKey memory key, uint160 sqrtPriceX96) external returns (int24 tick);
    function modifyLiquidity(PoolKey memory key, ModifyLiquidityParams memory params, bytes memory hookData) external;
    function swap(PoolKey memory key, SwapParams memory params) external;
}

/// @notice What others' contracts cost for the same, measured as MarketGasTest measures ours.
/// forge-config: default.isolate = true
contract PeerGasTest is GasTable {
    address private constant _ONE = address(uint160(uint256(keccak256("one"))));
    address private constant _TWO = address(uint160(uint256(keccak256("two"))));

    function test_gas() public {
        vm.warp(70_000 * EPOCH);
        _erc20();
        _votes();
        _solady();
        _uniswap();
        check("peers");
    }

    /// @dev The code that npm's package of v4-core carries, as its makers compiled it; our unit against a solady ERC-20,
    /// everybody touched this epoch.
    function _uniswap() private {
        string memory out = "node_modules/@uniswap/v4-core/out/";
        bytes memory to = abi.encode(address(this));
        IUniswapV4 manager = _create(string.concat(out, "PoolManager.sol/PoolManager.json"), to);
        to = abi.encode(address(manager));
        IUniswapV4 lp = _create(string.concat(out, "PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json"), to);
        IUniswapV4 router = _create(string.concat(out, "SwapRouterNoChecks.sol/SwapRouterNoChecks.json"), to);
        HashrateUnit unit = new HashrateUnit(address(this), address(0), "Unit", "UNIT");
        DemoQuote quote = new DemoQuote();
        unit.mint(_ONE, 2e24);
        quote.mint(_ONE, 2e24);
        bool unitFirst = address(unit) < address(quote);
        (address a, address b) = unitFirst ? (address(unit), address(quote)) : (address(quote), address(unit));
        IUniswapV4.PoolKey memory key = IUniswapV4.PoolKey(a, b, 3000, 60, address(0));
        manager.initialize(key, 2 ** 96);
        vm.startPrank(_ONE);
        unit.approve(address(lp), type(uint256).max);
        quote.approve(address(lp), type(uint256).max);
        unit.approve(address(router), type(uint256).max);
        lp.modifyLiquidity(key, IUniswapV4.ModifyLiquidityParams(-887_220, 887_220, 1e24, 0), "");
        uint160 limit = unitFirst ? 4_295_128_740 : 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_341;
        IUniswapV4.SwapParams memory sale = IUniswapV4.SwapParams(unitFirst, -1e18, limit);
        router.swap(key, sale);
        router.swap(key, sale);
        record("uniswapV4Swap");
        vm.stopPrank();
    }

    function _create(string memory artifact, bytes memory arguments) private returns (IUniswapV4 made) {
        bytes memory code = bytes.concat(vm.getCode(artifact), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        assertTrue(address(made) != address(0), artifact);
    }

    function _solady() private {
        DemoQuote token = new DemoQuote();
        token.mint(_ONE, 10e18);
        token.mint(_TWO, 10e18);
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("soladyErc20Transfer");
    }

    function _erc20() private {
        PeerERC20 token = new PeerERC20();
        token.mint(_ONE, 10e18);
        token.mint(_TWO, 10e18);
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("openZeppelinErc20Transfer");
    }

    function _votes() private {
        PeerVotes token = new PeerVotes();
        token.mint(_ONE, 10e18);
        token.mint(_TWO, 10e18);
        vm.prank(_ONE);
        token.delegate(_ONE);
        vm.prank(_TWO);
        token.delegate(_TWO);
        vm.roll(block.number + 10);
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("openZeppelinErc20VotesTransferNewCheckpoint");
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("openZeppelinErc20VotesTransferSameBlock");
    }
}
